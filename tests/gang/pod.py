"""Process 1 of a pod, as tests start it: `python -m tests.gang.pod [options] -- COMMAND`.

The gang's variables come by the environment, as in a cluster. COMMAND is what each rank runs.
"""

import argparse
import os
import sys
from collections.abc import Callable
from pathlib import Path

from trainer.gang import pods
from trainer.gang.supervisor import SupervisorOptions, supervise
from trainer.observability import log


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
    words = parser.parse_args(sys.argv[1:split])
    wanted: Callable[[], int] | None = None
    if words.wanted:
        wanted = lambda: int(words.wanted.read_text())  # noqa: E731
    log.setup()
    options = SupervisorOptions(
        ranks=words.ranks,
        grace=words.grace,
        stall_timeout=words.stall_timeout,
        max_failures=words.max_failures,
        metrics_port=words.metrics_port,
        linger=words.linger,
        finished=words.finished.exists if words.finished else None,
        pods=pods.from_environment(os.environ, wanted_pods=wanted),
    )
    sys.exit(supervise(sys.argv[split + 1 :], options))


if __name__ == "__main__":
    main()
