"""How a lost rank is replaced, and the others survive it."""
