"""Parity with the originals: stored cases run through this project's public functions and compared."""
