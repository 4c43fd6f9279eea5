"""Datasets by name, downloaded as Keras does, into its own cache."""

import os
import sys
from contextlib import redirect_stdout

from trainer.errors import DataError, one_line

_ORIGIN = "https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz"
_NAME = "cifar-10-batches-py-target"
_SHA256 = "6d958be074577803d12ecdefd02955f39262c83c16fe9348329d7fe0b5c001ce"
"""The arguments of `keras.datasets.cifar10.load_data`, so that both use one copy."""
NAMES = ("cifar10",)


def downloaded(source: str) -> str:
    """The folder of a dataset of `NAMES`, unless there is a folder of this name; any other source as it is.

    Raises DataError where it cannot be downloaded, with the file to put by hand.
    """
    if source not in NAMES or os.path.exists(source):
        return source
    try:
        from keras.utils import get_file
    except ImportError as error:
        raise DataError(
            f"{source}: is downloaded by Keras, which is not installed ({one_line(error)})",
            "pip install 'cars-trainer[cpu]', or give a folder with data_batch_1 to data_batch_5",
        ) from None
    try:
        with redirect_stdout(sys.stderr):
            folder = get_file(fname=_NAME, origin=_ORIGIN, extract=True, file_hash=_SHA256)
    except Exception as error:  # Keras raises Exception itself where the network fails
        cache = os.path.join(os.environ.get("KERAS_HOME", os.path.join("~", ".keras")), "datasets")
        raise DataError(
            f"{source}: could not be downloaded ({one_line(error)})",
            f"Put {_ORIGIN} at {os.path.join(cache, f'{_NAME}_archive')}, or give the folder that it holds",
        ) from None
    return os.path.join(str(folder), "cifar-10-batches-py")
