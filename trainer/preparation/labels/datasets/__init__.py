"""Datasets by the files that they alone have: one module for each."""
