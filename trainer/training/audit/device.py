"""The device of a rank, for people who have to find it."""

import os
import socket

import tensorflow as tf

from trainer.distribution import rank_variables
from trainer.gang.pods import NODE
from trainer.machine.gpus import VISIBLE


def describe_device() -> str:
    """ "rank 3 (pod cars-train-1, node gpu-7, GPU 1: NVIDIA H200)"."""
    parts = [f"pod {socket.gethostname()}"]
    if node := os.environ.get(NODE):
        parts.append(f"node {node}")
    return f"rank {rank_variables.rank()} ({', '.join([*parts, _device()])})"


def has_gpu() -> bool:
    """Whether this rank computes on a GPU."""
    return bool(tf.config.list_physical_devices("GPU"))


def _device() -> str:
    gpus = tf.config.list_physical_devices("GPU")
    if not gpus:
        return "CPU"
    name = tf.config.experimental.get_device_details(gpus[0]).get("device_name", "unknown")
    return f"GPU {os.environ.get(VISIBLE, '0')}: {name}"
