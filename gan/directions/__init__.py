"""Directions in the latent space of any generator with named layers: found, compared, distilled into words."""
