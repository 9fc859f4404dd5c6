"""System 5: drawing turn by turn. ``localizer.py`` trains what scores images, ``score.py`` scores generated folders."""
