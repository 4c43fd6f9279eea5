"""How fast a training would be on W pods of G GPUs, from parts that can be measured apart: docs/scaling.md.

python -m scripts.benches.sizing --device-images 2400 --parameters 25.6e6 --batch 256 --pods 1 2 4 --gpus 8
"""

import argparse
from dataclasses import dataclass


@dataclass(frozen=True)
class Parts:
    """What was measured, or is assumed, of one device, its network and the store.

    Attributes:
        device_seconds: of a step of `device_rows` rows on one device: gradients and update.
        device_rows: of each device in a step.
        exchange_bytes: what a step exchanges: 4 for each trained parameter and each statistic.
        pod_bandwidth: bytes a second between devices of a pod.
        network_bandwidth: bytes a second that a pod sends to another.
        latency: seconds of one message between two ranks.
        image_bytes: of an image in the store.
        store_bandwidth: bytes a second that the store gives to all pods together.
        reader_images: images a second that one rank reads and prepares.
    """

    device_seconds: float
    device_rows: int
    exchange_bytes: float
    pod_bandwidth: float
    network_bandwidth: float
    latency: float
    image_bytes: float
    store_bandwidth: float
    reader_images: float


@dataclass(frozen=True)
class Prediction:
    """`bound`: what is slowest, "devices", "readers" or "store". `exchange_share`: of a step that no input
    holds up."""

    images_per_second: float
    bound: str
    exchange_share: float
    efficiency: float
    """Over as many devices that exchange nothing."""


def exchange_seconds(parts: Parts, pods: int, gpus: int) -> float:
    """Of a ring (Patarasuk and Yuan, 2009): each rank sends and receives 2 (N - 1) / N of the vector, in
    2 (N - 1) messages; the slowest link on the way decides. It does not overlap with the backward pass."""
    ranks = pods * gpus
    bandwidth = parts.pod_bandwidth if pods == 1 else min(parts.pod_bandwidth, parts.network_bandwidth)
    messages = 2 * (ranks - 1)
    return messages / ranks * parts.exchange_bytes / bandwidth + messages * parts.latency


def predict(parts: Parts, pods: int, gpus: int) -> Prediction:
    """At `device_rows` rows a device: the global batch grows with the ranks (weak scaling)."""
    ranks = pods * gpus
    exchange = exchange_seconds(parts, pods, gpus)
    step = parts.device_seconds + exchange
    rates = {
        "devices": ranks * parts.device_rows / step,
        "readers": ranks * parts.reader_images,
        "store": parts.store_bandwidth / parts.image_bytes,
    }
    bound = min(rates, key=lambda name: rates[name])
    alone = ranks * parts.device_rows / parts.device_seconds
    return Prediction(rates[bound], bound, exchange / step, rates[bound] / alone)


def main() -> None:
    parser = argparse.ArgumentParser(prog="sizing", description=__doc__)
    parser.add_argument("--device-images", type=float, required=True, help="images/s of one device alone")
    parser.add_argument("--parameters", type=float, required=True, help="trained ones and statistics")
    parser.add_argument("--batch", type=int, required=True, help="rows of one device")
    parser.add_argument("--pods", type=int, nargs="+", default=[1, 2, 4, 8])
    parser.add_argument("--gpus", type=int, default=8)
    parser.add_argument("--pod-bandwidth", type=float, default=200e9, help="bytes/s")
    parser.add_argument("--network-bandwidth", type=float, default=12.5e9, help="bytes/s of a pod")
    parser.add_argument("--latency", type=float, default=20e-6, help="seconds")
    parser.add_argument("--image-bytes", type=float, default=224 * 224 * 3)
    parser.add_argument("--store-bandwidth", type=float, default=10e9, help="bytes/s, of all pods")
    parser.add_argument("--reader-images", type=float, default=3860, help="images/s of one rank")
    given = parser.parse_args()
    parts = Parts(
        device_seconds=given.batch / given.device_images,
        device_rows=given.batch,
        exchange_bytes=4 * given.parameters,
        pod_bandwidth=given.pod_bandwidth,
        network_bandwidth=given.network_bandwidth,
        latency=given.latency,
        image_bytes=given.image_bytes,
        store_bandwidth=given.store_bandwidth,
        reader_images=given.reader_images,
    )
    print(f"{'pods':>5} {'ranks':>6} {'images/s':>10} {'exchange':>9} {'efficiency':>11}  bound by")
    for pods in given.pods:
        found = predict(parts, pods, given.gpus)
        print(
            f"{pods:5} {pods * given.gpus:6} {found.images_per_second:10,.0f} {found.exchange_share:9.1%} "
            f"{found.efficiency:11.1%}  {found.bound}"
        )


if __name__ == "__main__":
    main()
