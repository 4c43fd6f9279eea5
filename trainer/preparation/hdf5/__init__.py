"""Anybody's HDF5 files, read as they are: an index of where their rows lie, made once."""
