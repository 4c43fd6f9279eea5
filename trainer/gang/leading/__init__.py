"""Which pod coordinates the gang, and how the others find it."""
