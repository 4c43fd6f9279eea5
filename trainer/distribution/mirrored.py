"""Several replicas in one process: tf.distribute.MirroredStrategy over the GPUs of a pod."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import tensorflow as tf

from trainer.distribution.single import OneProcess
from trainer.errors import ConfigError


class Mirrored(OneProcess):
    """`replicas` copies of the network, each on its GPU; without GPUs, on logical devices of the CPU.

    Every variable that is created within `scope` has a copy on each device. Sums over the replicas are
    computed on the first device, in the order of the replicas.

    Create it before TensorFlow has used a device. Raises ConfigError for more replicas than GPUs.
    """

    def __init__(self, replicas: int) -> None:
        self.replicas = replicas
        self._strategy = tf.distribute.MirroredStrategy(_devices(replicas))

    def scope(self) -> AbstractContextManager[Any]:
        scope: AbstractContextManager[Any] = self._strategy.scope()
        return scope

    def spread(self, rows: tf.Tensor) -> Any:
        parts = tf.split(rows, self.replicas)
        return self._strategy.experimental_distribute_values_from_function(
            lambda context: parts[context.replica_id_in_sync_group]
        )

    def run(self, function: Callable[..., Any], *arguments: Any) -> Any:
        return self._strategy.run(function, arguments)

    def parts(self, value: Any) -> tuple[tf.Tensor, ...]:
        results: tuple[tf.Tensor, ...] = self._strategy.experimental_local_results(value)
        return results

    def total(self, value: Any) -> tf.Tensor:
        with tf.device(self._strategy.extended.worker_devices[0]):
            return tf.add_n(self.parts(value))


def _devices(replicas: int) -> list[str]:
    kind = "GPU" if tf.config.list_physical_devices("GPU") else "CPU"
    if kind == "CPU":
        [cpu] = tf.config.list_physical_devices(kind)
        if len(tf.config.get_logical_device_configuration(cpu) or []) < replicas:
            logical = [tf.config.LogicalDeviceConfiguration() for _ in range(replicas)]
            tf.config.set_logical_device_configuration(cpu, logical)
    devices = tf.config.list_logical_devices(kind)
    if len(devices) < replicas:
        raise ConfigError(
            f"--ranks: expected at most {len(devices)}, one replica per GPU, received {replicas}",
            "Use --ranks auto",
        )
    return [device.name for device in devices[:replicas]]
