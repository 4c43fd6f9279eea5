"""What prediction costs beside the network alone: JPEG files from S3 to predictions in S3.

Client and server share this machine's cores. CPU is that of the client, start-up and building left out.
"""

import random
from functools import cache
from typing import Any

from scripts.benches.images import photographs
from scripts.benches.methods import REASONS, Figures, run
from scripts.benches.store import kept_store
from trainer.config import parse
from trainer.images.codec import encode_jpeg
from trainer.runs import layout
from trainer.runs.run_document import RunDocument, dump_run
from trainer.storage import open_store

NETWORKS = {"resnet50": (224, 64, 192), "lab-cnn": (64, 500, 4000)}
"""Name -> side of the images in pixels; images of a first job, whose cost is taken off; and of a second."""
__all__ = ["REASONS", "measure"]

BATCH = 64
METHODS = ("whole", "bare", "decode", "ray_data")
_OURS = METHODS[:3]
_MODULE = "scripts.benches.predicting"


def measure() -> dict[str, float | None]:
    """One round: each method with each network in a process of its own, in random order."""
    options = _setup()
    order = [(network, method) for network in NETWORKS for method in METHODS]
    random.shuffle(order)
    found: dict[tuple[str, str], Figures] = {}
    for network, method in order:
        figures = run(method, options[network], _MODULE if method in _OURS else "")
        if figures is not None:
            found[network, method] = figures
    cpu = {key: figures["cpu"] / figures["images"] for key, figures in found.items() if key[1] in _OURS}
    rate = {key: figures["images"] / figures["seconds"] for key, figures in found.items()}
    slower = min(rate["lab-cnn", "decode"], rate["lab-cnn", "bare"])
    parts = cpu["lab-cnn", "decode"] + cpu["lab-cnn", "bare"]
    return {
        "whole/bare_predict": cpu["resnet50", "bare"] / cpu["resnet50", "whole"],
        "whole/bare_predict wall": rate["resnet50", "whole"] / rate["resnet50", "bare"],
        "read_decode/whole": rate["resnet50", "decode"] / rate["resnet50", "whole"],
        "whole/slower_of_decode_and_model": rate["lab-cnn", "whole"] / slower,
        "whole/decode_and_model CPU": parts / cpu["lab-cnn", "whole"],
        **{
            f"whole/ray_data {network}": rate[network, "whole"] / rate[network, "ray_data"]
            if (network, "ray_data") in rate
            else None
            for network in NETWORKS
        },
        **{f"{network} {method} images/s": rate[network, method] for network, method in sorted(rate)},
        **{f"{network} {method} CPU ms": 1000 * cpu[network, method] for network, method in sorted(cpu)},
    }


@cache
def _setup() -> dict[str, dict[str, Any]]:
    name, folder = kept_store()
    bucket = f"s3://{name}"
    options = {}
    for network, (side, few, many) in NETWORKS.items():
        base = f"{bucket}/{network}"
        model = f"{folder}/{network}.keras"
        _make_run(f"{base}/run", network, side, model)
        for name, count in (("few", few), ("many", many)):
            store = open_store(f"{base}/{name}")
            for number, image in enumerate(photographs(count, (side, side, 3))):
                store.put(f"{number % 10}/{number:05d}.jpg", encode_jpeg(image))
        options[network] = {
            "base": base,
            "few": few,
            "many": many,
            "model": model,
            "size": (side, side),
            "batch": BATCH,
        }
    return options


def _make_run(url: str, network: str, side: int, model: str) -> None:
    """A run with fresh weights, what they are changes no figure here; and its network as a Keras file."""
    from trainer.models import build_network
    from trainer.models.weights_file import weights_file

    values = {"data": {"url": "none"}, "run": {"url": url}, "model": {"name": network}}
    classes = [f"class {number}" for number in range(10)]
    pixels: dict[str, Any] = {"mean": [127.5] * 3, "std": [64.0] * 3}
    document = RunDocument({}, parse(values), classes, (side, side, 3), pixels)
    store = open_store(url)
    store.put(layout.RUN, dump_run(document, 1))
    built = build_network(document)
    store.put(layout.weights("best"), weights_file(built))
    built.save(model)
