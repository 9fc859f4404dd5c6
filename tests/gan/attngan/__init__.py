"""Tests of gan/attngan."""
