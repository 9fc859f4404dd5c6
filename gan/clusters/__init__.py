"""Clusters of feature units: found, named, segmented by."""
