"""Files of images -> pixels of the shape that a run's network was trained on."""

from collections.abc import Callable
from typing import cast

import numpy as np
from numpy.typing import NDArray

from trainer.errors import TrainerError
from trainer.images.codec import Resize, decode_image
from trainer.images.decoding import Decoder, ImageLoader
from trainer.inference.sources.image import Task
from trainer.machine.cores import available_cores
from trainer.runs.run_document import RunDocument

MAX_BYTES = 256 << 20
"""Maximum size of an image file. The largest photographs of cameras have some 150 MB."""


def decoder(source: ImageLoader[Task], run: RunDocument) -> Decoder[Task]:
    """Decodes images as those of the run's dataset were decoded when it was prepared."""
    size, resize = run.prepared_shape[:2], cast(Resize, run.resize)
    return Decoder(source, size, resize, available_cores(), jpeg=run.encoding == "jpeg")


def shown(load: Callable[[], bytes]) -> NDArray[np.uint8] | None:
    """An image as it is, None where it cannot be read."""
    try:
        return decode_image(load())
    except (TrainerError, OSError, ValueError):
        return None
