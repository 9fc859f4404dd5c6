"""Tests of datasets/captioned."""
