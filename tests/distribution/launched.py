"""Ranks as horovodrun starts them, by its own rendezvous and variables, without its own start."""

import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from horovod.runner.common.util.hosts import get_host_assignments, parse_hosts
from horovod.runner.gloo_run import create_run_env_vars, create_slot_env_vars
from horovod.runner.http.http_server import RendezvousServer

from scripts.processes import die_with_parent

Ranks = list["subprocess.Popen[str]"]


@contextmanager
def launched(config: Path, *sets: Sequence[str], **environment: str) -> Iterator[Ranks]:
    """`trainer train --config CONFIG` as so many ranks as there are `sets`, the values that each sets."""
    server = RendezvousServer()
    port = server.start()
    places = get_host_assignments(parse_hosts(f"localhost:{len(sets)}"), len(sets))
    server.init(places)
    common = create_run_env_vars("127.0.0.1", ["lo"], str(port))
    ranks = [
        subprocess.Popen(
            [sys.executable, "-m", "trainer", "train", "--config", str(config)]
            + [word for value in own for word in ("--set", value)],
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            preexec_fn=die_with_parent,
            env={**os.environ, **common, **create_slot_env_vars(place), **environment},
        )
        for place, own in zip(places, sets, strict=True)
    ]
    try:
        yield ranks
    finally:
        for rank in ranks:
            rank.kill()
            rank.communicate()
        server.stop()
