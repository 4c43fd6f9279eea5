"""Networks as users write them, right and wrong: `tests.models.own:NAME`."""

import sys
from functools import cache
from typing import Any

import keras
import numpy as np
from keras import layers

from trainer.distribution import rank_variables

BACKBONE = keras.Sequential([keras.Input((8, 8, 3)), layers.Conv2D(4, 3)])
LAYER = layers.Conv2D(4, 3)


def ends_in(image_shape: Any, classes: int, *inner: Any, activation: Any = "softmax") -> keras.Model:
    last = layers.Dense(classes, activation=activation)
    return keras.Sequential([keras.Input(image_shape), *inner, layers.GlobalAveragePooling2D(), last])


def right(image_shape: Any, classes: int, *, width: int = 4) -> keras.Model:
    print("building")
    return ends_in(image_shape, classes, layers.Conv2D(width, 3, activation="relu"))


def of_many_parts(image_shape: Any, classes: int) -> keras.Model:
    image = keras.Input(image_shape)
    inner = keras.Sequential([keras.Input(image_shape), layers.Conv2D(3, 3, padding="same")], name="inner")
    x = layers.RandomFlip()(inner(inner(image)))
    x = layers.SpatialDropout2D(0.2)(layers.BatchNormalization()(keras.ops.relu(x) + 2.0 * image))
    x = layers.Reshape((-1, 3))(layers.GaussianNoise(0.1)(x))
    x = layers.MultiHeadAttention(2, 4)(x, x)
    x = layers.Bidirectional(layers.GRU(3))(x)
    return keras.Model(image, layers.Dense(classes, activation="softmax")(x))


def of_each_rank(image_shape: Any, classes: int) -> keras.Model:
    """Another one on each rank."""
    width = 4 + rank_variables.rank()
    inner = [layers.Flatten(), layers.Dense(width), layers.Dense(classes, activation="softmax")]
    return keras.Sequential([keras.Input(image_shape), *inner])


def made_at_import(image_shape: Any, classes: int) -> keras.Model:
    return ends_in(image_shape, classes, BACKBONE)


def layer_made_at_import(image_shape: Any, classes: int) -> keras.Model:
    return ends_in(image_shape, classes, LAYER)


def compiled(image_shape: Any, classes: int) -> keras.Model:
    model = ends_in(image_shape, classes, layers.Conv2D(4, 3))
    model.compile("adam", "sparse_categorical_crossentropy")
    model.fit(np.zeros((2, *image_shape)), np.zeros(2), verbose=0)
    return model


def of_unknown_size(image_shape: Any, classes: int) -> keras.Model:
    dense = layers.EinsumDense("abcd,de->abce", output_shape=(None, None, 4))
    return ends_in(image_shape, classes, dense)


def in_narrow_layers(image_shape: Any, classes: int) -> keras.Model:
    image = keras.Input(image_shape)
    x = layers.Flatten()(layers.Conv2D(4, 3, dtype="float16")(image))
    return keras.Model(image, layers.Dense(classes, activation="softmax", dtype="float32")(x))


def cast_at_its_end(image_shape: Any, classes: int) -> keras.Model:
    image = keras.Input(image_shape)
    x = layers.Dense(classes, activation="softmax", dtype="mixed_bfloat16")(layers.Flatten()(image))
    return keras.Model(image, layers.Activation("linear", dtype="float32")(x))


def of_drawn_constants(image_shape: Any, classes: int) -> keras.Model:
    image = keras.Input(image_shape)
    x = layers.Flatten()(image * np.random.rand(*image_shape))
    return keras.Model(image, layers.Dense(classes, activation="softmax")(x))


def another_each_time(image_shape: Any, classes: int) -> keras.Model:
    image = keras.Input(image_shape)
    x = layers.Flatten()(image * np.random.default_rng().random(image_shape, np.float32))
    return keras.Model(image, layers.Dense(classes, activation="softmax")(x))


def raises(image_shape: Any, classes: int) -> keras.Model:
    raise KeyError("no such key")


def raises_in_keras(image_shape: Any, classes: int) -> keras.Model:
    return ends_in(image_shape, classes, layers.Conv2D(4, 99))


def leaves(image_shape: Any, classes: int) -> keras.Model:
    sys.exit(0)


def nothing(image_shape: Any, classes: int) -> None:
    return None


def unbuilt(image_shape: Any, classes: int) -> keras.Model:
    return keras.Sequential([layers.Flatten(), layers.Dense(classes, activation="softmax")])


def takes_one(image_shape: Any) -> keras.Model:
    return right(image_shape, 2)


def positional(image_shape: Any, classes: int, width: int, /) -> keras.Model:
    return right(image_shape, classes, width=width)


def needs_width(image_shape: Any, classes: int, *, width: int) -> keras.Model:
    return right(image_shape, classes, width=width)


def without_star(image_shape: Any, classes: int, width: int = 4) -> keras.Model:
    return right(image_shape, classes, width=width)


@cache
def cached(image_shape: Any, classes: int) -> keras.Model:
    return right(image_shape, classes)


class Subclass(keras.Model):
    """A model with a class of its own."""


def subclassed(image_shape: Any, classes: int) -> keras.Model:
    image = keras.Input(image_shape)
    return Subclass(image, layers.Dense(classes, activation="softmax")(layers.Flatten()(image)))


def two_inputs(image_shape: Any, classes: int) -> keras.Model:
    images = [keras.Input(image_shape), keras.Input(image_shape)]
    x = layers.Flatten()(images[0] + images[1])
    return keras.Model(images, layers.Dense(classes, activation="softmax")(x))


def with_named_output(image_shape: Any, classes: int) -> keras.Model:
    image = keras.Input(image_shape)
    x = layers.Dense(classes, activation="softmax")(layers.Flatten()(image))
    return keras.Model(image, {"probabilities": x})


def of_integers(image_shape: Any, classes: int) -> keras.Model:
    image = keras.Input(image_shape, dtype="uint8")
    return keras.Model(image, layers.Dense(classes, activation="softmax")(layers.Flatten()(image)))


def one_sigmoid(image_shape: Any, classes: int) -> keras.Model:
    return ends_in(image_shape, 1, activation="sigmoid")


def odd_model_name(image_shape: Any, classes: int) -> keras.Model:
    image = keras.Input(image_shape)
    x = layers.Dense(classes, activation="softmax")(layers.Flatten()(image))
    return keras.Model(image, x, name="my net:1")


def odd_layer_name(image_shape: Any, classes: int) -> keras.Model:
    return ends_in(image_shape, classes, layers.Conv2D(4, 3, name="Größe"))


def double(x: Any) -> Any:
    return 2 * x


def rectified(x: Any) -> Any:
    return keras.ops.relu(x)


registered = keras.saving.register_keras_serializable("tests")(rectified)


def in_lambda(image_shape: Any, classes: int) -> keras.Model:
    return ends_in(image_shape, classes, layers.Lambda(lambda x: x * 2))


def function_in_lambda(image_shape: Any, classes: int) -> keras.Model:
    return ends_in(image_shape, classes, layers.Lambda(double))


def own_activation(image_shape: Any, classes: int) -> keras.Model:
    return ends_in(image_shape, classes, layers.Conv2D(2, 3, activation=double, name="doubled"))


def registered_activation(image_shape: Any, classes: int) -> keras.Model:
    return ends_in(image_shape, classes, layers.Conv2D(2, 3, activation=registered, name="doubled"))


def nested_lambda(image_shape: Any, classes: int) -> keras.Model:
    inner = keras.Sequential([keras.Input(image_shape), layers.Lambda(double, name="deep")])
    return ends_in(image_shape, classes, inner)


def logits(image_shape: Any, classes: int) -> keras.Model:
    return ends_in(image_shape, classes, activation=None)


def sigmoids(image_shape: Any, classes: int) -> keras.Model:
    return ends_in(image_shape, classes, activation="sigmoid")


def not_finite(image_shape: Any, classes: int) -> keras.Model:
    image = keras.Input(image_shape)
    x = layers.Dense(classes, activation="softmax")(layers.Flatten()(image))
    return keras.Model(image, x * keras.ops.log(-1.0 - x))


def spectral(image_shape: Any, classes: int) -> keras.Model:
    return ends_in(image_shape, classes, layers.SpectralNormalization(layers.Conv2D(2, 3)))


def without_gradients(image_shape: Any, classes: int) -> keras.Model:
    image = keras.Input(image_shape)
    x = layers.Dense(classes)(layers.Flatten()(image))
    return keras.Model(image, keras.ops.one_hot(keras.ops.argmax(x, -1), classes))


def without_weights(image_shape: Any, classes: int) -> keras.Model:
    image = keras.Input(image_shape)
    return keras.Model(image, layers.Softmax()(layers.Flatten()(image)[:, :classes]))


def synchronized(image_shape: Any, classes: int) -> keras.Model:
    return ends_in(image_shape, classes, layers.BatchNormalization(synchronized=True))
