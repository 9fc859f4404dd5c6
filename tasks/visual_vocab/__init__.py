"""System 4: directions of a generator, what they change, and which words they have."""
