"""Generators, discriminators and what is done to them. The progressive GAN of system 1 is the first to arrive here."""
