"""Which pods form the next generation, and when."""
