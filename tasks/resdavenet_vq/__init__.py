"""What the units of a trained speech model stand for: words that a code detects, phones that features tell apart."""
