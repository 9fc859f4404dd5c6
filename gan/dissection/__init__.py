"""Dissection of generators: the labels that units respond to."""
