"""What a failed exchange means."""

import tensorflow as tf

from trainer.errors import RankLost, one_line

LOST = (tf.errors.UnknownError, tf.errors.CancelledError, tf.errors.UnavailableError)
"""What TensorFlow raises when Horovod's exchange fails because a rank is gone."""


def lost_peer(error: Exception) -> RankLost:
    """The same as an error with one clear line."""
    reason = one_line(error)[:160]
    return RankLost(f"another rank was lost ({reason})", "The run resumes from the last checkpoint")
