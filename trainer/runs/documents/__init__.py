"""Documents in a run's folder, as types."""
