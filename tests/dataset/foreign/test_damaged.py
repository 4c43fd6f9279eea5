"""Damaged HDF5 files and images: no crash, no hang, one clear error each, or images."""
