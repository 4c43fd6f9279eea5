"""Determinism: a large step gives the same bits each time."""

import subprocess
import sys

import pytest

pytestmark = pytest.mark.slow

GRADIENTS = """
import sys
from hashlib import sha256
import keras, numpy, tensorflow as tf
from trainer.training.setup.determinism import enable_determinism

tf.config.threading.set_intra_op_parallelism_threads(2)
tf.config.threading.set_inter_op_parallelism_threads(2)
if sys.argv[1] == "deterministic":
    tf.config.optimizer.set_experimental_options({"shape_optimization": True})
    tf.function(lambda x: x + 1)(tf.constant(1.0))  # the process has called functions before
    enable_determinism(xla=False)
keras.utils.set_random_seed(1)
norm = keras.layers.BatchNormalization
network = keras.Sequential(
    [keras.Input((224, 224, 3)), keras.layers.Conv2D(32, 1), norm(), keras.layers.Conv2D(32, 1), norm()]
)
images = tf.constant(numpy.random.default_rng(0).normal(size=(8, 224, 224, 3)).astype("float32"))

@tf.function
def gradients(images):
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(tf.reduce_mean(network(images, training=True) ** 3, (1, 2)) ** 2)
    return tape.gradient(loss, network.trainable_variables)

for _ in range(int(sys.argv[2])):
    print(sha256(b"".join(one.numpy().tobytes() for one in gradients(images))).hexdigest())
"""


def test_a_step_that_needs_much_memory_gives_the_same_bits_each_time() -> None:
    """Its batch norms' gradients are sums of three, which Grappler adds up in the order of their arrival."""
    command = [sys.executable, "-c", GRADIENTS, "deterministic", "8"]
    found = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    assert len(found) == 8
    assert len(set(found)) == 1
