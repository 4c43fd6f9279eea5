"""The networks of keras.applications, by name, with a head of one's own classes."""

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from typing import Annotated

import keras
from pydantic import Field

from trainer.config.applications import PREFIX
from trainer.errors import ConfigError, one_line
from trainer.models.networks.head import classify
from trainer.models.networks.pretrained_files import models_folder


def application(
    name: str,
    image_shape: tuple[int, int, int],
    classes: int,
    *,
    n_nodes: Annotated[int, Field(ge=0, le=2**20)] = 0,
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0,
) -> keras.Model:
    """The network `keras:NAME` with random weights, averaged over its last map, and a head.

    Args:
        name: as in `trainer.config.applications`.
        image_shape: (H, W, C) of the images.
        classes: nodes of the softmax at the end.
        n_nodes: nodes of a dense layer before it; 0 for none. The food document's transfer head has 1024.
        dropout: before the softmax.

    Raises:
        ConfigError: the network does not take images of this size.
    """
    body = _body(name, image_shape, weights=None)
    output = classify(body.output, classes, n_nodes, dropout)
    return keras.Model(body.input, output, name=name.removeprefix(PREFIX))


def load_imagenet(model: keras.Model, name: str) -> tuple[str, tuple[str, ...]]:
    """Puts Keras's ImageNet weights into the layers below the head of the `application` of this name; Keras
    downloads them into its cache. Returns where they are from, and the names of the layers.

    Raises ConfigError where they are neither in the cache nor can be downloaded.
    """
    with _download(f"model.weights: the ImageNet weights of {name}"):
        body = _body(name, tuple(model.input_shape[1:]), weights="imagenet")
    loaded = []
    for own, pretrained in zip(model.layers, body.layers, strict=False):
        if pretrained.weights:
            own.set_weights(pretrained.get_weights())
            loaded.append(own.name)
    return f"keras.applications.{name.removeprefix(PREFIX)}", tuple(loaded)


def pretrained(name: str) -> keras.Model:
    """The network `keras:NAME` with its head of 1,000 classes and Keras's ImageNet weights, for images of its
    own size. Raises ConfigError as `load_imagenet` does."""
    keras.config.set_dtype_policy("float32")
    with _download(f"model: the ImageNet weights of {name}"):
        return getattr(keras.applications, name.removeprefix(PREFIX))(weights="imagenet")


@contextmanager
def _download(description: str) -> Iterator[None]:
    try:
        with redirect_stdout(sys.stderr):  # Keras shows its downloads
            yield
    except ConfigError:
        raise
    except Exception as error:  # Keras raises plain Exception where the network fails
        reason = one_line(error)
        url = re.search(r"https?://\S+/([\w.-]+)", reason)
        file = url[1].rstrip(".") if url else "the file"
        raise ConfigError(
            f"{description} is not available: {reason}",
            f"Put {file} into {models_folder()}, or run where it can be downloaded",
        ) from None


def _body(name: str, image_shape: tuple[int, ...], weights: str | None) -> keras.Model:
    builder = getattr(keras.applications, name.removeprefix(PREFIX))
    try:
        return builder(include_top=False, weights=weights, input_shape=image_shape, pooling="avg")
    except ValueError as error:
        reason = one_line(error)
        raise ConfigError(f"model.name: {name} does not take images of {image_shape}: {reason}") from None
