"""Trainings and tests of other configs, run once each and put together in one table."""
