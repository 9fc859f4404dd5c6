"""Sound files to samples and log-mels."""
