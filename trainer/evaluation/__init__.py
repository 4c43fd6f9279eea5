"""What a set of weights reached on a split: counted, and as the document that is kept with the run."""
