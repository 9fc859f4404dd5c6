"""Segmenters: labels, networks, their files."""
