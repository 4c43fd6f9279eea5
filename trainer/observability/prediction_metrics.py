"""The metrics of a prediction job, as one worker publishes them to Prometheus."""

from prometheus_client import Counter, Gauge

from trainer.observability import metric_names as names

IMAGES = Counter(
    names.PREDICT_IMAGES, "Images of committed parts of this worker: `predicted` or `failed`.", ["result"]
)
PARTS = Counter(names.PREDICT_PARTS, "Parts that this worker committed.")
SECONDS = Counter(
    names.PREDICT_SECONDS,
    "Seconds of this worker: `read` waits for decoded images, `compute` classifies.",
    ["stage"],
)
JOB_IMAGES = Gauge(names.PREDICT_JOB_IMAGES, "Images of the whole job.")
JOB_IMAGES_DONE = Gauge(
    names.PREDICT_JOB_IMAGES_DONE, "Images in the parts that are done, by this worker or by others."
)
for _result in ("predicted", "failed"):
    IMAGES.labels(_result)
for _stage in ("read", "compute"):
    SECONDS.labels(_stage)
