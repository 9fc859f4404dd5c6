"""Clusters of units: found, named, drawn."""
