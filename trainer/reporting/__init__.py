"""A run as one HTML file: curves, figures, mistakes, configuration. No network is needed to read it."""
