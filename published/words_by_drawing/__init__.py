"""Files of surisdi/learning-by-drawing."""
