"""Prediction: images below a prefix -> classes and probabilities, in parts that are committed whole."""
