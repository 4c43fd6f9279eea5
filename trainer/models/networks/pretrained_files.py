"""The files of ImageNet weights that Keras downloads, and whether they can be had here. Imports no Keras."""

import os
import threading
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path

_BASE = "https://storage.googleapis.com/tensorflow/keras-applications"
_FILES = {
    "keras:MobileNetV2": "mobilenet_v2/mobilenet_v2_weights_tf_dim_ordering_tf_kernels_1.0_{side}_no_top.h5",
    "keras:EfficientNetV2B0": "efficientnet_v2/efficientnetv2-b0_notop.h5",
    "keras:ResNet50": "resnet/resnet50_weights_tf_dim_ordering_tf_kernels_notop.h5",
}
"""Networks -> their files without a head, as keras.applications names them."""
SIDES = (96, 128, 160, 192, 224)
"""Image sizes for which keras.applications.MobileNetV2 has weights of their own."""
REACHABLE_SECONDS = 3.0


def models_folder() -> Path:
    """Where Keras keeps the weights that it has downloaded."""
    return Path(os.environ.get("KERAS_HOME") or os.path.expanduser("~/.keras")) / "models"


def file_url(network: str, side: int) -> str:
    """Where Keras downloads the weights of a network for square images from."""
    return f"{_BASE}/{_FILES[network].format(side=side if side in SIDES else max(SIDES))}"


def network_of_file(url: str) -> str | None:
    """The network of a file with the name that Keras gives it; None for other names."""
    name = url.rpartition("/")[2]
    for network, file in _FILES.items():
        before, _, after = file.rpartition("/")[2].partition("{side}")
        if name == before or (after and name.startswith(before) and name.endswith(after)):
            return network
    return None


def available(networks: Mapping[str, int]) -> tuple[str, str] | None:
    """The first of the networks whose weights can be had, and where: in Keras's folder, or by a download.

    `networks`: each with the side of its images in pixels, the preferred one first. That is looked for in
    both places, the others in Keras's folder alone. Takes at most REACHABLE_SECONDS.
    """
    folder, first = models_folder(), next(iter(networks))
    urls = {name: file_url(name, side) for name, side in networks.items()}
    cached = [name for name, url in urls.items() if (folder / url.rpartition("/")[2]).is_file()]
    if first not in cached and _reachable(urls[first]):
        return first, "to be downloaded by Keras"
    return (cached[0], f"in {folder}") if cached else None


def _reachable(url: str) -> bool:
    """Whether a server answers for `url` in time; in a thread, as looking up a name has no time limit."""
    answered = threading.Event()

    def ask() -> None:
        try:
            request = urllib.request.Request(url, method="HEAD")
            with urllib.request.urlopen(request, timeout=REACHABLE_SECONDS):
                answered.set()
        except (OSError, ValueError):
            pass

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(REACHABLE_SECONDS)
    return answered.is_set()
