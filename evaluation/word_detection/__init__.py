"""Word detection by discrete units."""
