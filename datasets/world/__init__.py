"""The embedded world: scenes in the manner of CLEVR with images, captions and speech, everything known."""
