"""Distances between generated images and real ones."""
