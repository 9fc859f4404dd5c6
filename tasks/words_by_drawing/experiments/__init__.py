"""Repeat experiments of "Learning Words by Drawing Images" (CVPR 2019) on trained weights: one entry function each."""
