"""Generators, discriminators, and edits and dissections of generators."""
