"""The embedded world: scenes in the manner of CLEVR with pictures, captions and speech, everything known."""
