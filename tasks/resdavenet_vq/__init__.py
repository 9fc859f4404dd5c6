"""Measure the units of trained speech models: words that codes detect, phones that features distinguish."""
