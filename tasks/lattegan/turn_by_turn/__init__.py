"""Draw a scene with a trained LatteGAN: draw.py at the terminal or from a file, ``tasks/lattegan/serve/`` on a page."""
