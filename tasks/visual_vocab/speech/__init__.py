"""Spoken concepts: a word is heard, the concept that sounds most like it moves the image."""
