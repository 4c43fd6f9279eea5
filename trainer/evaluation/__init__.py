"""The evaluation of weights on a split: its metrics, and the document that is kept with the run."""
