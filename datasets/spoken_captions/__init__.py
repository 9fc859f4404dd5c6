"""Images with spoken captions: their lists, readers, words and batches."""
