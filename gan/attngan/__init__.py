"""AttnGAN, arXiv:1711.10485: pictures drawn from sentences in stages, each stage attending to words."""
