"""Metrics on arrays and the reports made from them. Feature extractors and similarities are passed in."""
