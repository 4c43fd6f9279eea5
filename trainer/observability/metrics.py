"""The trainer's Prometheus metrics: `trainer_*`, base units, labelled by rank.

Under a supervisor PROMETHEUS_MULTIPROC_DIR is set: the ranks write there, the supervisor serves them all
on one endpoint. A process of its own serves itself (`serve`).
"""

import os

from prometheus_client import Counter, Gauge, Histogram, start_http_server


def _gauge(name: str, text: str) -> Gauge:
    return Gauge(f"trainer_{name}", text, ["rank"], multiprocess_mode="mostrecent")


def _counter(name: str, text: str) -> Counter:
    return Counter(f"trainer_{name}", text, ["rank"])


EPOCH = _gauge("epoch", "Epoch being trained, counted from 0.")
STEP = _gauge("step", "Steps finished since the start of the run.")
TOTAL_STEPS = _gauge("total_steps", "Steps of the whole run.")
WORLD_SIZE = _gauge("world_size", "Ranks of the present generation.")
GENERATION = _gauge("generation", "Number of the present generation's token.")
LOSS = _gauge("loss", "Mean training loss of the running epoch.")
ACCURACY = _gauge("accuracy", "Mean training accuracy of the running epoch, 0 to 1.")
VALIDATION_LOSS = _gauge("validation_loss", "Validation loss after the last epoch.")
VALIDATION_ACCURACY = _gauge("validation_accuracy", "Validation accuracy after the last epoch, 0 to 1.")
LEARNING_RATE = _gauge("learning_rate", "The optimizer's learning rate.")
IMAGES = _counter("images", "Training images worked by this rank.")
DATA_WAIT = _counter("data_wait_seconds", "Seconds in which a rank waited for data.")
STEP_SECONDS = Histogram(
    "trainer_step_seconds",
    "Seconds of a step, the exchange included and the wait for data left out.",
    ["rank"],
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30),
)
CHECKPOINT_STEP = _gauge("last_checkpoint_step", "Step of the newest committed checkpoint.")
CHECKPOINT_TIME = _gauge("last_checkpoint_timestamp_seconds", "When it was committed, Unix time.")
CHECKPOINT_STALL = _gauge("checkpoint_stalled_seconds", "Seconds in which training waited for checkpoints.")
STORE_RETRIES = Counter(
    "trainer_store_retries", "Requests to the object store tried again.", ["rank", "cause"]
)


def serve(port: int | None) -> int | None:
    """Serves this process's metrics unless a supervisor does; returns the port."""
    if port is None or "PROMETHEUS_MULTIPROC_DIR" in os.environ:
        return None
    server, _ = start_http_server(port)
    return int(server.server_port)
