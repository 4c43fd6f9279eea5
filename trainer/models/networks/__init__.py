"""One family of networks a file; each function builds one with random weights."""
