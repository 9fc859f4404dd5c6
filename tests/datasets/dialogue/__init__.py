"""Tests of datasets/dialogue."""
