"""Tests of tasks/attngan/sampling."""
