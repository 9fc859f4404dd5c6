"""Annotations of what directions change, by a program or by people."""
