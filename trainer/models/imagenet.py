"""ImageNet weights: from Keras's cache on this machine, or downloaded by Keras into it."""

import json
import sys
from collections import Counter
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path

import keras

from trainer.errors import ConfigError, one_line
from trainer.models.networks.pretrained_files import models_folder


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


_CLASSES = "imagenet_class_index.json"
_CLASSES_URL = f"https://storage.googleapis.com/download.tensorflow.org/data/{_CLASSES}"
_CLASSES_MD5 = "c2c37ea517e94d9795004a39431a14cb"  # as in keras.applications.imagenet_utils


def imagenet_weights(network: str) -> tuple[str, bytes]:
    """(path, content) of a network's file of ImageNet weights.

    Raises ConfigError that names the file and its path when it neither exists nor can be downloaded.
    """
    if network not in KNOWN:
        raise ConfigError(
            f"model.weights: no ImageNet weights are known for {network}",
            f"Known: {', '.join(KNOWN)}; else specify a file, or none",
        )
    known = KNOWN[network]
    path = models_folder() / known.file
    remedy = f"Put {known.file} at {path}, or in a store and name its URL in model.weights"
    if known.url is None:
        if not path.exists():
            raise ConfigError(f"model.weights: {path} does not exist, and there is no download of it", remedy)
        return str(path), path.read_bytes()
    path = _downloaded(known.file, known.url, known.md5, "model.weights", remedy)
    return str(path), path.read_bytes()


def imagenet_classes() -> list[str]:
    """The names of ImageNet's 1,000 classes. Of two that are alike, as the cranes, each has its WordNet ID.

    Raises ConfigError where the file is damaged, or neither exists nor can be downloaded.
    """
    path = models_folder() / _CLASSES
    if not path.exists():
        remedy = f"Put {_CLASSES} into {path.parent}"
        path = _downloaded(_CLASSES, _CLASSES_URL, _CLASSES_MD5, "model", remedy)
    try:
        index = json.loads(path.read_bytes())
        rows = [index[str(number)] for number in range(1000)]
        times = Counter(name for _, name in rows)
        return [name if times[name] == 1 else f"{name} ({wnid})" for wnid, name in rows]
    except (ValueError, TypeError, KeyError):
        raise ConfigError(f"{path} is not Keras's index of ImageNet's classes", "Delete it") from None


def _downloaded(file: str, url: str, md5: str | None, key: str, remedy: str) -> Path:
    try:
        with redirect_stdout(sys.stderr):  # Keras shows its downloads
            folder = models_folder()
            return Path(
                keras.utils.get_file(
                    file,
                    url,
                    cache_subdir=folder.name,
                    cache_dir=str(folder.parent),
                    file_hash=md5,
                    hash_algorithm="md5",
                )
            )
    except Exception as error:  # Keras raises plain Exception where the network fails
        reason = one_line(error)
        raise ConfigError(f"{key}: {url} cannot be downloaded: {reason}", remedy) from None
