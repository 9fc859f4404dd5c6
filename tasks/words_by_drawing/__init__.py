"""System 1, words by drawing: the training and its parts."""
