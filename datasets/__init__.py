"""Readers of images, speech and text: one class per shape of sample, one loader for all of them."""
