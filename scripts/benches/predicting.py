"""`python -m scripts.benches.predicting METHOD OPTIONS`: one way to classify, or a part of it."""

import json
import sys
import time
import uuid
from collections.abc import Callable
from typing import Any

import numpy as np

from scripts.benches.measured import cpu_seconds, report
from trainer.inference.sources.image import Task
from trainer.inference.sources.prefix import Prefix
from trainer.runs.run_document import read_run
from trainer.runs.weights import read_weights
from trainer.storage import open_store


def whole(options: dict[str, Any]) -> dict[str, Any]:
    """Two whole jobs; what the second took more."""
    from trainer.inference import job

    def predict(name: str) -> None:
        urls = {"run": f"{options['base']}/run", "input": f"{options['base']}/{name}"}
        output = f"{options['base']}/out-{uuid.uuid4().hex}"
        job.main(None, {**urls, "output": output, "batch_size": options["batch"]}, ())

    predict("few")  # imports, and what is made once
    first, second = (_took(lambda name=name: predict(name)) for name in ("few", "many"))  # type: ignore[misc]
    return {
        "images": options["many"] - options["few"],
        **{key: second[key] - first[key] for key in ("seconds", "cpu")},
    }


def bare(options: dict[str, Any]) -> dict[str, Any]:
    """Keras's `model.predict` over float32 arrays in memory."""
    from trainer.models import build_network
    from trainer.models.weights_file import load_weights_file

    store = open_store(f"{options['base']}/run")
    batch = options["batch"]
    run = read_run(store)
    model = build_network(run)
    load_weights_file(model, read_weights(store, "best"))
    draw = np.random.default_rng(0)
    images = draw.standard_normal((options["many"], *run.image_shape), np.float32)
    model.predict(images[:batch], batch_size=batch, verbose=0)
    return {
        "images": len(images),
        **_took(lambda: model.predict(images, batch_size=batch, verbose=0)),
    }


def decode(options: dict[str, Any]) -> dict[str, Any]:
    """Listing, reading and decoding alone."""
    run = read_run(open_store(f"{options['base']}/run"))
    source = Prefix(open_store(f"{options['base']}/many"), run)

    def read() -> None:
        found = source.read(Task(0, image) for image in source)
        assert sum(1 for image in found if image.image is not None) == options["many"]

    return {"images": options["many"], **_took(read)}


def _took(action: Callable[[], object]) -> dict[str, float]:
    began, used = time.monotonic(), cpu_seconds()
    action()
    return {"seconds": time.monotonic() - began, "cpu": cpu_seconds() - used}


METHODS = {method.__name__: method for method in (whole, bare, decode)}

if __name__ == "__main__":
    report(METHODS[sys.argv[1]](json.loads(sys.argv[2])))
