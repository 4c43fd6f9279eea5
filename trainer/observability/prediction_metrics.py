"""The metrics of a prediction job, as one worker publishes them to Prometheus."""

from prometheus_client import Counter, Gauge

from trainer.observability import metric_names as names

IMAGES = Counter(
    names.PREDICT_IMAGES,
    "Images in parts committed by this worker, by result: `predicted` or `failed`.",
    ["result"],
)
PARTS = Counter(names.PREDICT_PARTS, "Parts committed by this worker.")
SECONDS = Counter(
    names.PREDICT_SECONDS,
    "Seconds of this worker, by stage: `read` (waiting for decoded images) or `compute` (predicting).",
    ["stage"],
)
JOB_IMAGES = Gauge(names.PREDICT_JOB_IMAGES, "Total images of the job.")
JOB_IMAGES_DONE = Gauge(names.PREDICT_JOB_IMAGES_DONE, "Images in finished parts of the job, of all workers.")
for _result in ("predicted", "failed"):
    IMAGES.labels(_result)
for _stage in ("read", "compute"):
    SECONDS.labels(_stage)
