"""Objects, where they stand, and how they relate."""
