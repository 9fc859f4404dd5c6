"""Ranks and recalls."""
