"""How fast ranks on this machine exchange: a small sum, and one of ResNet-50's size."""

import math
import os
from collections.abc import Iterator

from trainer.doctor import installed, probe
from trainer.doctor.finding import CheckResult
from trainer.gang.network.rendezvous import Rendezvous
from trainer.gang.ranks.rank_environment import rank_environment
from trainer.gang.ranks.slot import Slot
from trainer.machine import gpus
from trainer.machine.sandbox import ProcessFailed

EXCHANGED_VALUES = 25_600_000
"""float32 values of the large sum: about ResNet-50's parameters."""
PROBE = "trainer.doctor.exchange_probe"


def examine(deadline: float = math.inf) -> Iterator[CheckResult]:
    """Nothing where Horovod is not installed. A rank for each GPU, or two on the CPU."""
    if not installed.installed("horovod"):
        return
    gpus_here = gpus.visible_gpus(os.environ)
    size = max(2, len(gpus_here))
    hidden = {gpus.VISIBLE: ""} if len(gpus_here) == 1 else {}
    with Rendezvous() as rendezvous:
        environments = [
            rank_environment(
                Slot(rank, size, rank, size, 0, 1, 0),
                generation=1,
                rendezvous_port=rendezvous.port,
                gloo_timeout=30,
                gang="doctor",
            )
            | hidden
            for rank in range(size)
        ]
        try:
            times = probe.run(PROBE, environments, deadline)
        except probe.OutOfTime:
            yield probe.unfinished("exchange")
            return
        except ProcessFailed as error:
            remedy = "Use one rank (--ranks 1), or compile Horovod with scripts/env"
            yield CheckResult("error", "exchange", str(error), remedy)
            return
    text = (
        f"{size} ranks over {times['over']}: a number in {times['small'] * 1e3:.2f} ms, "
        f"{4 * EXCHANGED_VALUES / 1e6:.0f} MB in {times['large'] * 1e3:.0f} ms"
    )
    if len(gpus_here) > 1 and times["over"] != "NCCL":
        yield CheckResult("warning", "exchange", text, "scripts/env gpu compiles Horovod with NCCL")
    else:
        yield CheckResult("ok", "exchange", text)
