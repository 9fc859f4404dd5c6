"""Training jobs: what is learned, one file each. How it is run is the trainer's matter."""
