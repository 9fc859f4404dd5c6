"""R3GAN: a generator and a discriminator without norms, conditioned on classes."""
