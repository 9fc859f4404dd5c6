"""HTML pages: the only place with HTML."""
