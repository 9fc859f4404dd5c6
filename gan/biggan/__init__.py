"""BigGAN: generator, discriminator, their layers, latents and standing statistics."""
