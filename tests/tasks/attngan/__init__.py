"""Tests of tasks/attngan."""
