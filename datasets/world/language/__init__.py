"""Captions and instructions about scenes."""
