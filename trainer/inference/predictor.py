"""A trained network, ready to classify images."""

from collections.abc import Mapping

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from trainer.dataset.pipeline.preprocessing import Preprocessing
from trainer.inference.network import Network
from trainer.models.loss import row_losses

_LUMA = np.array([19595, 38470, 7471])


class Predictor:
    """Classifies images that were prepared as for the training."""

    def __init__(self, network: Network, batch_size: int) -> None:
        run = network.run
        self.classes = run.classes
        self.batch_size = batch_size
        self._shape = run.prepared_shape
        self._model = network.build()
        size = run.image_shape[:2] if run.image_shape[:2] != run.prepared_shape[:2] else None
        self._preprocessing = Preprocessing(run.config.data.standardize, size=size, **run.pixels)
        self._smoothing = run.config.train.label_smoothing
        self._measure = tf.function(self._probabilities_and_loss, autograph=False)
        self._measure_changed = tf.function(self._changed_probabilities_and_losses, autograph=False)

    @property
    def model(self) -> keras.Model:
        """The network."""
        return self._model

    def prepare(self, images: NDArray[np.uint8]) -> tf.Tensor:
        """uint8 (n, H, W, C) -> what the network takes."""
        return self._preprocessing(self._grey(images))

    @property
    def parameters(self) -> int:
        """The number of parameters, frozen ones included."""
        return int(self._model.count_params())

    def probabilities(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """uint8 (n, H, W, C) with n <= batch_size -> float32 (n, classes), in a batch padded to one
        shape. A network for grey images gets the luma of RGB ones, as Pillow computes it."""
        images = self._grey(images)
        if len(images) < self.batch_size:
            padded = np.zeros((self.batch_size, *images.shape[1:]), np.uint8)
            padded[: len(images)] = images
        else:
            padded = images
        probabilities: NDArray[np.float32] = self._model.predict_on_batch(self._preprocessing(padded))
        return np.asarray(probabilities, np.float32)[: len(images)]

    def measured(
        self, images: NDArray[np.uint8], labels: NDArray[np.integer]
    ) -> tuple[NDArray[np.float32], float]:
        """The probabilities of images with these labels, and their loss as in validation, summed."""
        prepared = self.prepare(images)
        probabilities, loss = self._measure(prepared, tf.constant(labels, tf.int32))
        return probabilities.numpy(), float(loss)

    def measured_changed(
        self, images: NDArray[np.uint8], labels: NDArray[np.integer], drawn: Mapping[str, NDArray[np.float32]]
    ) -> tuple[NDArray[np.float32], float]:
        """The same of images that are changed by `drawn` first, as `Augmentation.draw` gives it for the size
        of the network's input. Every batch has one shape, so that each kind of change is compiled once."""
        count = len(labels)
        places = np.arange(self.batch_size) % count
        probabilities, losses = self._measure_changed(
            self._grey(images)[places],
            tf.constant(labels[places], tf.int32),
            {name: values[places] for name, values in drawn.items()},
        )
        return probabilities.numpy()[:count], float(losses.numpy()[:count].astype(np.float64).sum())

    def changed(
        self, images: NDArray[np.uint8], drawn: Mapping[str, NDArray[np.float32]]
    ) -> NDArray[np.uint8]:
        """Images as `measured_changed` changes them, before they are standardized: uint8 (n, H, W, C)."""
        pixels = self._preprocessing.changed(self._grey(images), **drawn).numpy()
        rounded: NDArray[np.uint8] = np.rint(pixels.clip(0, 255)).astype(np.uint8)
        return rounded

    def _changed_probabilities_and_losses(
        self, images: tf.Tensor, labels: tf.Tensor, drawn: dict[str, tf.Tensor]
    ) -> tuple[tf.Tensor, tf.Tensor]:
        return self._probabilities_and_losses(self._preprocessing(images, **drawn), labels)

    def _probabilities_and_loss(self, images: tf.Tensor, labels: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        probabilities, losses = self._probabilities_and_losses(images, labels)
        return probabilities, tf.reduce_sum(losses)

    def _probabilities_and_losses(self, images: tf.Tensor, labels: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        probabilities = tf.cast(self._model(images, training=False), tf.float32)
        return probabilities, row_losses(labels, probabilities, self._smoothing, self._model.losses)

    def _grey(self, images: NDArray[np.uint8]) -> NDArray[np.uint8]:
        if self._shape[2] == 1 and images.shape[3] == 3:
            images = (images @ _LUMA + 0x8000 >> 16).astype(np.uint8)[..., None]
        return images
