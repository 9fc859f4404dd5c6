"""Generators and discriminators of system 5: LatteGAN, and GeNeVA-GAN beside it."""
