"""Scenes to images."""
