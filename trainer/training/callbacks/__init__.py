"""Keras callbacks: a run's own, and what a checkpoint keeps of each."""
