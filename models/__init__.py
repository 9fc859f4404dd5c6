"""Networks: speech, text and image encoders, and what compares their maps."""
