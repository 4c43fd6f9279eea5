"""Checks of a dataset before training: its index, its labels, each of its images."""
