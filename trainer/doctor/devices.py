"""TensorFlow's devices, and how fast they convolve: the timing of the CNN lab (its questions 9 and 10)."""

import math
import os
from collections.abc import Iterator
from typing import Any

from trainer.doctor import installed, probe
from trainer.doctor.finding import CheckResult
from trainer.machine.gpus import visible_gpus
from trainer.machine.sandbox import ProcessFailed

IMAGES = (100, 2)
"""How many images are convolved at once."""
PROBE = "trainer.doctor.devices_probe"

_SLOW = "Train small networks and small batches on CPUs, or raise train.batch_size"


def examine(deadline: float = math.inf) -> Iterator[CheckResult]:
    """Nothing where TensorFlow is not installed."""
    if not installed.can_train():
        return
    try:
        measured = probe.run(PROBE, [os.environ], deadline)
    except probe.OutOfTime:
        yield probe.unfinished("devices")
        return
    except ProcessFailed as error:
        yield CheckResult(
            "error", "TensorFlow", str(error), "python -c 'import tensorflow' shows its whole output"
        )
        return
    yield _devices(measured, len(visible_gpus(os.environ)))
    for images in IMAGES:
        yield _convolution(images, measured["seconds"])


def _devices(measured: dict[str, Any], expected: int) -> CheckResult:
    built = f"CUDA {measured['cuda']}, cuDNN {measured['cudnn']}" if measured["cuda"] else "for CPUs"
    names = ", ".join(measured["gpus"]) or "the CPU alone"
    text = f"{names} (TensorFlow is built {'with ' if measured['cuda'] else ''}{built})"
    if len(measured["gpus"]) >= expected:
        return CheckResult("ok", "devices", text)
    remedy = "Compare the driver (nvidia-smi) with this CUDA" if measured["cuda"] else "scripts/env gpu"
    return CheckResult("error", "devices", f"{text}, of {expected} GPUs that this process may use", remedy)


def _convolution(images: int, seconds: dict[str, dict[str, float]]) -> CheckResult:
    """Ten times 32 filters of 7x7x3 over random images of 100x100 pixels."""
    check = f"convolution of {images} images"
    times = {device: times[str(images)] for device, times in seconds.items()}
    text = ", ".join(f"{device} {taken:.3f} s" for device, taken in times.items())
    if "GPU" not in times:
        return CheckResult("ok", check, text)
    factor = times["CPU"] / times["GPU"]
    text += f": {factor:.1f} times as fast"
    if factor < 1 and images == max(IMAGES):
        return CheckResult("warning", check, text, _SLOW)
    return CheckResult("ok", check, text)
