"""Files of schwettmann/visual-vocab: annotated directions of BigGAN's latent space, and lists of concepts."""
