"""Tests of tasks/attngan/scores."""
