"""What the units of a generator respond to."""
