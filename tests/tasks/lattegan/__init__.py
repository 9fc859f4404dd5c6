"""Tests of tasks/lattegan."""
