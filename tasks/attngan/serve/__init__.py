"""A server of images from captions: server.py starts it, api.py has its addresses."""
