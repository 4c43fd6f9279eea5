"""Ten steps of two replicas in a process of their own: `python -m tests.training.replicas PRECISION XLA`.

Prints how many values differ between the copies of a variable, how many are not finite, and whether every
variable has two copies.
"""

import sys

import keras
import numpy as np
import tensorflow as tf

from trainer.distribution.mirrored import Mirrored
from trainer.models import build
from trainer.training.step import EvaluationStep, TrainStep
from trainer.training.step.averages import averaged

ROWS, SHAPE, CLASSES = 24, (8, 8, 3), 5
OPTIONS = {"n_filters": 4, "n_dense_layers": 1, "n_nodes": 8, "use_dropout": True}


def main() -> None:
    precision, xla = sys.argv[1], sys.argv[2] == "on"
    mirrored = Mirrored(2)
    keras.utils.set_random_seed(1)
    keras.config.set_dtype_policy(precision)
    with mirrored.scope():
        model = build("lab-cnn", SHAPE, CLASSES, OPTIONS)
        accumulated = {"gradient_accumulation_steps": 2} if precision == "mixed_bfloat16" else {}
        optimizer = keras.optimizers.AdamW(
            weight_decay=0.01, use_ema=True, ema_overwrite_frequency=4, **accumulated
        )
        if precision == "mixed_float16":
            optimizer = keras.optimizers.LossScaleOptimizer(optimizer, dynamic_growth_steps=3)
        optimizer.build(model.trainable_variables)
    step = TrainStep(
        model,
        optimizer,
        mirrored,
        batch_size=ROWS,
        micro_rows=ROWS // 4,
        micro_lanes=3,
        first_lane=0,
        seed=1,
        xla=xla,
    )
    drawn = np.random.default_rng(0)
    images = tf.constant(drawn.random((ROWS, *SHAPE), np.float32))
    labels = tf.constant(drawn.integers(0, CLASSES, ROWS).astype(np.int32))
    for number in range(10):
        read = step.read(step(number, images, labels, tf.ones(ROWS), number == 3))
        assert read.finite
        assert (read.sums.rows, read.stop_votes) == (ROWS, number == 3)
    evaluated, probabilities = EvaluationStep(model, mirrored, xla=xla)(images, labels, tf.ones(ROWS))
    assert evaluated.rows == ROWS
    assert probabilities.shape == (ROWS, CLASSES)
    with averaged(optimizer):
        copies = [mirrored.parts(v.value) for v in model.trainable_variables]
        both = [tuple(copy.numpy() for copy in pair) for pair in copies]
    copies += [mirrored.parts(v.value) for v in (*model.weights, *optimizer.variables)]
    both += [
        tuple(copy.numpy() for copy in pair) for pair in copies[len(both) :] if len(pair) == mirrored.replicas
    ]
    unlike = sum(int((one != other).sum()) for one, other in both)
    print(unlike, sum(int((~np.isfinite(one)).sum()) for one, _ in both), len(both) == len(copies))


if __name__ == "__main__":
    main()
