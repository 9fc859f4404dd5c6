"""Progressive GAN: generator, discriminator, growing, objectives."""
