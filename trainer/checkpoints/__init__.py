"""A run's state in object storage: written whole or not at all, and restored byte for byte."""
