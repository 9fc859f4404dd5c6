"""The layouts of published data sets in which a world is written."""
