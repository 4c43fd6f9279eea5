"""A trained network, ready to classify images."""

import numpy as np
from numpy.typing import NDArray

from trainer.dataset.batch_stream import Preprocessing
from trainer.inference.network import Network

_LUMA = np.array([19595, 38470, 7471])


class Predictor:
    """Images as they were prepared for the training -> probabilities."""

    def __init__(self, network: Network, batch_size: int) -> None:
        run = network.run
        self.classes = run.classes
        self.batch_size = batch_size
        self._shape = run.prepared_shape
        self._model = network.build()
        size = run.image_shape[:2] if run.image_shape[:2] != run.prepared_shape[:2] else None
        self._preprocessing = Preprocessing(run.config.data.standardize, size=size, **run.pixels)

    @property
    def parameters(self) -> int:
        """Of the network, those that are not trained included."""
        return int(self._model.count_params())

    def probabilities(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """uint8 (n, H, W, C) with n <= batch_size -> float32 (n, classes), in a batch padded to one
        shape. Of RGB images a network for grey ones gets the luma, as Pillow computes it."""
        if self._shape[2] == 1 and images.shape[3] == 3:
            images = (images @ _LUMA + 0x8000 >> 16).astype(np.uint8)[..., None]
        if len(images) < self.batch_size:
            padded = np.zeros((self.batch_size, *images.shape[1:]), np.uint8)
            padded[: len(images)] = images
        else:
            padded = images
        found: NDArray[np.float32] = self._model.predict_on_batch(self._preprocessing(padded))
        return np.asarray(found, np.float32)[: len(images)]
