"""Determinism: TensorFlow's, XLA's, and what both leave out."""

import os
from typing import Any

import tensorflow as tf
from tensorflow.core.protobuf import config_pb2, rewriter_config_pb2
from tensorflow.python.eager import context


def enable_determinism(*, xla: bool) -> None:
    """Makes the functions that are traced from now on give the same bits each time.

    XLA's determinism is one of its own: of TensorFlow's it refuses the gradient of max pooling, also on CPUs.
    """
    _keep_sums_in_order()
    if xla:
        flags = os.environ.get("XLA_FLAGS", "")
        os.environ["XLA_FLAGS"] = f"{flags} --xla_gpu_deterministic_ops=true".strip()
    else:
        tf.config.experimental.enable_op_determinism()


def _keep_sums_in_order() -> None:
    """Switches Grappler's memory optimizer off, which no public option of TensorFlow does.

    Where a step needs much memory it replaces sums of three gradients or more by additions in the order in
    which these arrive, also under op determinism.
    """
    own: Any = context.context()
    config = config_pb2.ConfigProto()
    if own._config is not None:
        config.CopyFrom(own._config)
    config.graph_options.rewrite_options.memory_optimization = rewriter_config_pb2.RewriterConfig.NO_MEM_OPT
    own._config = config
    tf.config.optimizer.set_experimental_options({})  # or the options of earlier calls are used again
