"""Tests of gan/lattegan."""
