"""`python -m scripts.benches.bare_fit METHOD OPTIONS`: what the whole trainer is compared with."""

import json
import sys
import time
from types import SimpleNamespace
from typing import Any, cast

import numpy as np

from scripts.benches.measured import cpu_seconds, report
from scripts.benches.whole_run import FROM_EPOCH, Workload

STEPS = 20_000


def fit(options: dict[str, Any]) -> dict[str, Any]:
    """Keras's `fit` of a recipe's network from float32 arrays in memory: seconds of an image."""
    import keras

    from trainer import models
    from trainer.config.load import load

    workload = Workload(**options)
    config = load(recipe=workload.recipe, overrides=["data.url=none", "run.url=none"])
    shape = (workload.side, workload.side, 3)
    model = models.network_for(config, shape, 10)
    optimizer = config.train.optimizer.model_dump()
    name = optimizer.pop("name")
    model.compile(
        optimizer=keras.optimizers.get({"class_name": name, "config": optimizer}),
        loss="sparse_categorical_crossentropy",
        metrics=["accuracy", "sparse_top_k_categorical_accuracy"],
        jit_compile=False,
    )
    draw = np.random.default_rng(0)
    images = draw.standard_normal((workload.images, *shape), np.float32)
    labels = draw.integers(0, 10, workload.images, np.int32)
    last = FROM_EPOCH + workload.epochs
    marks: list[tuple[float, float]] = []

    def mark(epoch: int, _: object) -> None:
        if epoch + 1 in (FROM_EPOCH, last):
            marks.append((time.monotonic(), cpu_seconds()))

    model.fit(
        images,
        labels,
        batch_size=workload.batch,
        epochs=last,
        verbose=0,
        callbacks=[keras.callbacks.LambdaCallback(on_epoch_end=mark)],
    )
    (began, before), (ended, after) = marks
    count = workload.images * workload.epochs
    return {"wall": (ended - began) / count, "cpu": (after - before) / count}


def observe(_: dict[str, Any]) -> dict[str, Any]:
    """CPU seconds of what the loop does after each step for metrics, log and progress, and nothing else."""
    from trainer.observability.metrics import RunMetrics
    from trainer.training.callbacks.trainer_callbacks import ProgressLog
    from trainer.training.loop import Loop
    from trainer.training.results.timer import Timer
    from trainer.training.run_state import Progress

    metrics = RunMetrics(0)
    metrics.begin_run(generation=1, world_size=1, total_steps=STEPS)
    plan = SimpleNamespace(
        config=SimpleNamespace(train=SimpleNamespace(batch_size=100)), steps_per_epoch=STEPS, cache=None
    )
    loop = SimpleNamespace(
        plan=plan,
        progress=Progress(),
        timer=Timer(1, 1, [], lambda _: None),
        data=SimpleNamespace(rows_per_step=100),
        metrics=metrics,
        progress_log=ProgressLog(1, STEPS, 100),
    )
    began = time.thread_time()
    for step in range(STEPS):
        loop.progress.step = step + 1
        Loop._observe(cast(Any, loop), 0.001, 0.01)  # noqa: SLF001  what is measured
    return {"cpu": (time.thread_time() - began) / STEPS}


METHODS = {method.__name__: method for method in (fit, observe)}

if __name__ == "__main__":
    report(METHODS[sys.argv[1]](json.loads(sys.argv[2])))
