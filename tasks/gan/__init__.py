"""Train, dissect and export generators; train their segmenters."""
