"""What turns features into class probabilities."""

from typing import Any

from keras import layers

HEAD = "head"
"""The name of the dense layer before the softmax."""


def classify(features: Any, classes: int, n_nodes: int = 0, dropout: float = 0.0) -> Any:
    """Features (n, F) -> [dense `n_nodes`, ReLU] -> [dropout] -> softmax, float32 (n, classes)."""
    if n_nodes:
        features = layers.Dense(n_nodes, activation="relu", name=HEAD)(features)
    if dropout:
        features = layers.Dropout(dropout, name=f"{HEAD}_dropout")(features)
    return layers.Dense(classes, activation="softmax", dtype="float32", name="predictions")(features)
