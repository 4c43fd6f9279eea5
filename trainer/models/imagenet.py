"""ImageNet weights: taken from Keras's cache on this machine, or downloaded by Keras into it."""

import os
from dataclasses import dataclass
from pathlib import Path

import keras

from trainer.errors import ConfigError


@dataclass(frozen=True)
class Download:
    """A file of ImageNet weights; one without a URL has to be put into the cache by hand."""

    file: str
    url: str | None = None
    md5: str | None = None


KNOWN = {
    # As in keras.applications.
    "resnet50": Download(
        "resnet50_weights_tf_dim_ordering_tf_kernels.h5",
        "https://storage.googleapis.com/tensorflow/keras-applications/resnet/"
        "resnet50_weights_tf_dim_ordering_tf_kernels.h5",
        "2cb95161c43110f7111970584f804107",
    ),
    "resnet152-scale": Download("resnet152_weights_tf.h5"),
}


def imagenet_weights(network: str) -> tuple[str, bytes]:
    """(path, content) of a network's file of ImageNet weights.

    Raises ConfigError that names the file and its place when it is neither there nor can be downloaded.
    """
    if network not in KNOWN:
        raise ConfigError(
            f"model.weights: no ImageNet weights are known for {network}",
            f"There are for {', '.join(KNOWN)}; else name a file, or none",
        )
    known = KNOWN[network]
    home = Path(os.environ.get("KERAS_HOME") or os.path.expanduser("~/.keras"))
    path = home / "models" / known.file
    remedy = f"Put {known.file} at {path}, or in a store and name its URL in model.weights"
    if known.url is None:
        if not path.exists():
            raise ConfigError(f"model.weights: {path} is not there, and there is no download of it", remedy)
        return str(path), path.read_bytes()
    try:
        path = Path(
            keras.utils.get_file(
                known.file,
                known.url,
                cache_subdir=path.parent.name,
                cache_dir=str(home),
                file_hash=known.md5,
                hash_algorithm="md5",
            )
        )
        return str(path), path.read_bytes()
    except Exception as error:  # Keras raises plain Exception where the network fails
        reason = " ".join(str(error).split())
        raise ConfigError(f"model.weights: {known.url} cannot be downloaded: {reason}", remedy) from None
