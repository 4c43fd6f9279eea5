"""The weights that others trained on ImageNet: looked for on this machine, then downloaded once."""

import contextlib
import hashlib
import os
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path

from trainer.errors import ConfigError

TIMEOUT_SECONDS = 30.0


@dataclass(frozen=True)
class Download:
    """A file of ImageNet weights; one without a URL has to be put in its place by hand."""

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
    """(path, content) of a network's file of ImageNet weights, in the folder where Keras keeps its own.

    Raises ConfigError that names the file and its place when it is neither there nor to be downloaded, and
    when it is not the file that it should be.
    """
    if network not in KNOWN:
        raise ConfigError(
            f"model.weights: no ImageNet weights are known for {network}",
            f"There are for {', '.join(KNOWN)}; else name a file, or none",
        )
    known = KNOWN[network]
    path = Path(os.environ.get("KERAS_HOME") or os.path.expanduser("~/.keras")) / "models" / known.file
    try:
        data = path.read_bytes()
    except OSError:
        data = _download(known, path)
    if known.md5 and hashlib.md5(data, usedforsecurity=False).hexdigest() != known.md5:
        raise ConfigError(
            f"model.weights: {path} is not the file of {known.url}: its md5 differs",
            "Remove it, or replace it",
        )
    return str(path), data


def _download(known: Download, path: Path) -> bytes:
    remedy = f"Put {known.file} at {path}, or in a store and name its URL in model.weights"
    if known.url is None:
        raise ConfigError(f"model.weights: {path} is not there, and nobody offers it for download", remedy)
    try:
        with urllib.request.urlopen(known.url, timeout=TIMEOUT_SECONDS) as response:
            data: bytes = response.read()
    except OSError as error:
        reason = error.reason if isinstance(error, urllib.error.URLError) else error
        raise ConfigError(f"model.weights: {known.url} cannot be downloaded: {reason}", remedy) from None
    with contextlib.suppress(OSError):  # kept for the next run where that is possible
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(f"{path.name}.{os.getpid()}.part")
        partial.write_bytes(data)
        partial.replace(path)
    return data
