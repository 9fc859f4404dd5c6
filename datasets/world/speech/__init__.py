"""Captions to sounds, by eSpeak."""
