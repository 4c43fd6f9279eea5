"""A process that `trainer doctor` starts: prints TensorFlow's devices and convolutions' times as JSON."""

import json
import timeit

from trainer.doctor.devices import IMAGES
from trainer.observability.tensorflow_import import quiet_tensorflow_import

with quiet_tensorflow_import():
    import keras
    import tensorflow as tf


def convolution(device: str, images: int) -> float:
    """Seconds of ten convolutions, after one that warms up."""

    def convolve() -> float:
        with tf.device(device):
            convolved = keras.layers.Conv2D(32, 7)(tf.random.normal((images, 100, 100, 3)))
            return float(tf.math.reduce_sum(convolved))

    convolve()
    return timeit.timeit(convolve, number=10)


def main() -> None:
    build = tf.sysconfig.get_build_info()
    gpus = tf.config.list_physical_devices("GPU")
    for gpu in gpus:
        tf.config.experimental.set_memory_growth(gpu, True)
    devices = {"CPU": "/CPU:0"} | ({"GPU": "/GPU:0"} if gpus else {})
    result = {
        "cuda": build.get("cuda_version"),
        "cudnn": build.get("cudnn_version"),
        "gpus": [tf.config.experimental.get_device_details(gpu).get("device_name", gpu.name) for gpu in gpus],
        "seconds": {
            name: {str(images): convolution(device, images) for images in IMAGES}
            for name, device in devices.items()
        },
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
