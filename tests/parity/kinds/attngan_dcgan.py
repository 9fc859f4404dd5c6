"""The DCGAN variant of AttnGAN's generator: its file differs, the rest is as for the others."""

from tests.parity.kinds.attngan import groups

__all__ = ["groups"]
