"""Images with a class each, made once as arrays: from a folder for each class, or from the embedded world."""
