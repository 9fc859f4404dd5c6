"""Images with several written captions each, in the layout that AttnGAN published for birds and COCO."""
