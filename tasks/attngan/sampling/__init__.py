"""Images from captions: in memory, in files, and as networks for other programs."""
