"""Image classifiers, trained on Kubernetes straight from object storage."""

__version__ = "0.1.0"
