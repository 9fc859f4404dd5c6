"""How well generated images fit their captions and resemble real ones."""
