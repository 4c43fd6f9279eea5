"""Saves the states that ranks have left in memory, before their supervisor exits: others may lack them."""

import logging
import os
import time
from collections.abc import Callable, Mapping, Sequence

from trainer.distribution.rank_variables import KEEP_STATE, STATE_FD
from trainer.gang.ranks.rank_processes import Ranks

log = logging.getLogger("trainer.supervisor")


def keep_states(
    command: Sequence[str],
    states: Sequence[int],
    environment: Mapping[str, str],
    *,
    seconds: float,
    tick: Callable[[], object],
) -> None:
    """Runs the ranks' command once for each state in memory, with KEEP_STATE set.

    Args:
        states: the file descriptors of the memory; what is empty is left out.
        environment: of a run's only rank.
        seconds: after which the rest is given up.
        tick: is called at short intervals while it waits.
    """
    deadline = time.monotonic() + seconds
    for state in states:
        if not os.fstat(state).st_size or time.monotonic() > deadline:
            continue
        ranks = Ranks(command, {0: {**environment, STATE_FD: str(state), KEEP_STATE: "1"}})
        try:
            while ranks.alive and time.monotonic() < deadline:
                ranks.watch()
                tick()
            if ranks.alive or ranks.exits[0].code:
                log.error("the state of the last finished step could not be saved")
        finally:
            ranks.close()
