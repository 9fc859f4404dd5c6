"""Learn images and spoken captions together: what systems 1 and 2 share."""
