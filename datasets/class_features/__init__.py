"""Features of images with classes, and a document of each class, some classes without images to train on."""
