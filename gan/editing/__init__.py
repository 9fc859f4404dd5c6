"""Images with some units or regions changed."""
