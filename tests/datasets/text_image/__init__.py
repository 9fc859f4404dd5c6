"""Tests of datasets/text_image."""
