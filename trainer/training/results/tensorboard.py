"""The metrics of each epoch as TensorBoard reads them, under the names that Keras's callback gives them."""

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import tensorflow as tf

VALIDATION = "val_"
_FORMAT = "brain.Event:2"


def event_files(history: Sequence[Mapping[str, float]], times: Sequence[float]) -> dict[str, bytes]:
    """The metrics of all epochs, and when each of them ended (seconds since 1970) -> "train", and where there
    are some "validation" -> the content of an event file. It grows by what an epoch adds, and stays the same
    before that, as TensorBoard expects."""
    files = {}
    for name, of_validation in (("train", False), ("validation", True)):
        values = [
            {
                f"epoch_{metric.removeprefix(VALIDATION)}": value
                for metric, value in row.items()
                if metric.startswith(VALIDATION) is of_validation
            }
            for row in history
        ]
        if any(values):
            files[name] = _events(values, times)
    return files


def _events(values: Sequence[Mapping[str, float]], times: Sequence[float]) -> bytes:
    events = [tf.compat.v1.Event(wall_time=times[0], file_version=_FORMAT)]
    for epoch, (row, time) in enumerate(zip(values, times, strict=True)):
        summary = tf.compat.v1.Summary()
        for metric in sorted(row):
            summary.value.add(tag=metric, simple_value=row[metric])
        events.append(tf.compat.v1.Event(wall_time=time, step=epoch, summary=summary))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "events"
        with tf.io.TFRecordWriter(str(path)) as writer:
            for event in events:
                writer.write(event.SerializeToString())
        return path.read_bytes()
