"""Train, sample, measure, dissect and export generators; train their segmenters and classifiers."""
