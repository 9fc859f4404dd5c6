"""Stamps of Tux Paint as images and sounds."""
