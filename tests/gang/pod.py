"""Process 1 of a pod, as tests start it: `python -m tests.gang.pod [options] -- COMMAND`.

The gang's variables come by the environment, as in a cluster. COMMAND is what each rank runs.
"""

import argparse
import os
import sys
from collections.abc import Callable
from pathlib import Path

from trainer.gang import pods
from trainer.gang.forming import seats
from trainer.gang.forming.policy import Policy
from trainer.gang.health import watch
from trainer.gang.leading import contact
from trainer.gang.ranks import pace, slow_ranks
from trainer.gang.supervisor import supervise
from trainer.gang.supervisor_options import SupervisorOptions
from trainer.observability import log
from trainer.storage import open_store


def main() -> None:
    split = sys.argv.index("--")
    parser = argparse.ArgumentParser()
    parser.add_argument("--ranks", type=int, default=1)
    parser.add_argument("--grace", type=float, default=20.0)
    parser.add_argument("--stall-timeout", type=float, default=0.0)
    parser.add_argument("--max-failures", type=int, default=6)
    parser.add_argument("--metrics-port", type=int)
    parser.add_argument("--linger", type=float, default=0.0)
    parser.add_argument("--finished", type=Path, help="the run is finished once this file is there")
    parser.add_argument("--wanted", type=Path, help="the file that holds how many pods the gang shall have")
    parser.add_argument("--store", help="the run's folder, by whose tokens any pod can coordinate")
    parser.add_argument("--wait", type=float, help="seconds; then the gang trains without lost pods")
    parser.add_argument("--min-ranks", type=int)
    parser.add_argument("--give-up-after", type=float, default=1800.0)
    parser.add_argument("--patience", type=float, help="seconds until another pod coordinates, and forms")
    parser.add_argument("--unhealthy", type=Path, help="the pod cannot train while this file is there")
    parser.add_argument("--slow-after", type=float, help="seconds until a slow rank is named")
    words = parser.parse_args(sys.argv[1:split])
    wanted: Callable[[], int] | None = None
    if words.wanted:
        wanted = lambda: int(words.wanted.read_text())  # noqa: E731
    log.setup()
    if words.patience is not None:
        contact.PATIENCE = seats.FIRST_WAIT = words.patience
    if words.slow_after is not None:
        pace.SLOW_AFTER_SECONDS = pace.WINDOW_SECONDS = slow_ranks._INTERVAL_SECONDS = words.slow_after
    watch.AGAIN_SECONDS = 0.1
    options = SupervisorOptions(
        ranks=words.ranks,
        grace=words.grace,
        stall_timeout=words.stall_timeout,
        max_failures=words.max_failures,
        metrics_port=words.metrics_port,
        linger=words.linger,
        finished=words.finished.exists if words.finished else None,
        policy=Policy(
            elastic=words.wait is not None,
            wait=words.wait or 0.0,
            min_ranks=words.min_ranks,
            give_up_after=words.give_up_after,
        ),
        health=(lambda _: "no GPU" if words.unhealthy.exists() else "") if words.unhealthy else None,
        store=open_store(words.store) if words.store else None,
        pods=pods.from_environment(os.environ, wanted_pods=wanted),
    )
    sys.exit(supervise(sys.argv[split + 1 :], options))


if __name__ == "__main__":
    main()
