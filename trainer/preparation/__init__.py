"""Images in folders -> a dataset: labels, splits, shards, and last the file that makes it one."""
