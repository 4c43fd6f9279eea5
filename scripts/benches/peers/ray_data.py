"""Prediction by Ray Data, as its guide does it: tasks read and decode, an actor holds the network, and the
rows are written to S3 as JSON Lines."""

import os
import time
import uuid
from typing import Any

CORES = 2


class Classifier:
    """A batch of `path` and `image`, uint8 (n, H, W, 3), becomes the class of each."""

    def __init__(self, model: str) -> None:
        import keras

        self._model = keras.models.load_model(model)

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        import numpy as np

        images = batch["image"].astype(np.float32) / np.float32(127.5) - np.float32(1)
        found = self._model.predict_on_batch(images)
        return {
            "image": batch["path"],
            "class_id": found.argmax(1),
            "probability": found.max(1).round(6),
        }


def ray_data(options: dict[str, Any]) -> dict[str, float]:
    """Two whole jobs; what the second took more."""
    import ray
    from pyarrow.fs import S3FileSystem

    ray.init(num_cpus=CORES, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    ray.data.DataContext.get_current().enable_progress_bars = False
    scheme, _, host = os.environ["AWS_ENDPOINT_URL"].partition("://")
    system = S3FileSystem(endpoint_override=host, scheme=scheme, region="us-east-1", allow_delayed_open=True)

    def predict(name: str) -> float:
        began = time.monotonic()
        base = options["base"].removeprefix("s3://")
        images = ray.data.read_images(
            f"{base}/{name}", filesystem=system, include_paths=True, size=options["size"], mode="RGB"
        )
        found = images.map_batches(
            Classifier,
            fn_constructor_args=(options["model"],),
            batch_size=options["batch"],
            compute=ray.data.ActorPoolStrategy(size=1),
        )
        found.write_json(f"{base}/ray-{uuid.uuid4().hex}", filesystem=system)
        return time.monotonic() - began

    few, many = predict("few"), predict("many")
    return {"images": options["many"] - options["few"], "seconds": many - few}
