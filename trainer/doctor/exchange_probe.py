"""A rank that `trainer doctor` starts: prints the times of sums over the ranks as JSON."""

import json
import statistics
import time

from trainer.distribution import connect
from trainer.doctor.exchange import EXCHANGED_VALUES
from trainer.observability.tensorflow_import import quiet_tensorflow_import

with quiet_tensorflow_import():
    import horovod.tensorflow as hvd
    import tensorflow as tf


def main() -> None:
    gpus = tf.config.list_physical_devices("GPU")
    for gpu in gpus:
        tf.config.experimental.set_memory_growth(gpu, True)
    distribution = connect()

    def seconds(values: int) -> float:
        sent = tf.zeros(values)
        seconds_of_sums = []
        for _ in range(6):
            distribution.barrier()
            began = time.perf_counter()
            distribution.exchange(sent)[:1].numpy()
            seconds_of_sums.append(time.perf_counter() - began)
        return statistics.median(seconds_of_sums[1:])

    over = "NCCL" if gpus and hvd.nccl_built() else "Gloo"
    result = {"over": over, "small": seconds(1), "large": seconds(EXCHANGED_VALUES)}
    if distribution.is_chief:
        print(json.dumps(result))


if __name__ == "__main__":
    main()
