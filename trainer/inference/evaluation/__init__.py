"""How good a run's weights are on a split of a dataset."""
