"""Text to images with attention to words: the parts of system 3, by the names that configs use."""
