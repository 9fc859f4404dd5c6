"""How well units detect words."""
