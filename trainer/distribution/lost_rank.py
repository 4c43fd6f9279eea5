"""What a failed exchange means."""

import tensorflow as tf

from trainer.errors import RankLost, one_line

LOST = (tf.errors.UnknownError, tf.errors.CancelledError, tf.errors.UnavailableError)
"""The errors that TensorFlow raises when Horovod's exchange fails because a rank is lost."""


def lost_peer(error: Exception) -> RankLost:
    """The error as a RankLost with a one-line message."""
    reason = one_line(error)[:160]
    return RankLost(f"another rank was lost ({reason})", "The run resumes from the last checkpoint")
