"""A run's state in object storage: written whole or not at all, restored byte for byte."""
