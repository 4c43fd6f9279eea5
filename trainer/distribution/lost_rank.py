"""What a failed exchange means."""

import tensorflow as tf

from trainer.errors import Interrupted

LOST = (tf.errors.UnknownError, tf.errors.CancelledError, tf.errors.UnavailableError)
"""What TensorFlow raises when Horovod's exchange fails because a rank is gone."""


def lost_peer(error: Exception) -> Interrupted:
    """The same as an error with one clear line."""
    reason = " ".join(str(error).split())[:160]
    return Interrupted(f"another rank was lost ({reason})", "The run resumes from the last checkpoint")
