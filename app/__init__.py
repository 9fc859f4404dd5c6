"""Use trained models in a few plain calls, without training."""
