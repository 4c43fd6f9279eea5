"""What a rank's environment says of its place."""

import os
from collections.abc import Mapping

from trainer.distribution.cores import thread_environment, usable_cores
from trainer.distribution.placement import Slot


def rank_environment(
    slot: Slot,
    *,
    generation: int,
    rendezvous: tuple[str, int],
    gloo_timeout: int,
    more: Mapping[str, str],
) -> dict[str, str]:
    """This process's environment, what Horovod's core reads, and thread counts.

    Threads and timeout are left as they are where this process's environment names them.

    Args:
        slot: the rank's place.
        generation: the number of its generation.
        rendezvous: IPv4 address and port of that generation's key-value store.
        gloo_timeout: seconds.
        more: what else to set.
    """
    return {
        **thread_environment(slot.local_size, usable_cores()),
        "HOROVOD_GLOO_TIMEOUT_SECONDS": str(gloo_timeout),
        **os.environ,
        **more,
        "HOROVOD_RANK": str(slot.rank),
        "HOROVOD_SIZE": str(slot.size),
        "HOROVOD_LOCAL_RANK": str(slot.local_rank),
        "HOROVOD_LOCAL_SIZE": str(slot.local_size),
        "HOROVOD_CROSS_RANK": str(slot.cross_rank),
        "HOROVOD_CROSS_SIZE": str(slot.cross_size),
        # Only a label: Horovod counts ranks of one name as neighbours.
        "HOROVOD_HOSTNAME": f"pod-{slot.pod}",
        "HOROVOD_GLOO_RENDEZVOUS_ADDR": rendezvous[0],
        "HOROVOD_GLOO_RENDEZVOUS_PORT": str(rendezvous[1]),
        "HOROVOD_CONTROLLER": "gloo",
        "HOROVOD_CPU_OPERATIONS": "gloo",
        # Fusion puts together what happens to be ready: the order of a sum would change from run to run.
        "HOROVOD_FUSION_THRESHOLD": "0",
        "TRAINER_GENERATION": str(generation),
    }
