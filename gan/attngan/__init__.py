"""AttnGAN, arXiv:1711.10485: images generated from sentences in stages, each stage attending to words."""
