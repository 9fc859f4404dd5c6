"""Pages of system 4: annotation.py records what people write about pairs of images, explorer.py moves images."""
