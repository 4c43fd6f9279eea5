"""What a failed exchange means."""

import re

import tensorflow as tf

from trainer.errors import RankLost, one_line, shortened

_HOROVOD = re.compile(r"Horovod [^.]*(?=\.)")

LOST = (tf.errors.UnknownError, tf.errors.CancelledError, tf.errors.UnavailableError)
"""The errors that TensorFlow raises when Horovod's exchange fails because a rank is lost."""


def lost_peer(error: Exception) -> RankLost:
    """The error as a RankLost with a one-line message: of TensorFlow's text, Horovod's first sentence."""
    text = one_line(error)
    sentence = _HOROVOD.search(text)
    reason = sentence[0] if sentence else shortened(text)
    return RankLost(f"another rank was lost ({reason})", "The run resumes from its newest state")
