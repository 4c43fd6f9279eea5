"""A rank's report reaches its supervisor, and a broken one does no harm."""

import json
import os
from dataclasses import asdict

import pytest

from trainer.distribution import rank_status
from trainer.distribution.rank_status import (
    Phase,
    RankStatus,
    StatusChannel,
    report_exchange,
    report_phase,
    report_step,
)
from trainer.distribution.rank_variables import STATUS_FD

pytestmark = pytest.mark.fast


def test_the_newest_report_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    channel = StatusChannel()
    assert channel.read() == RankStatus()
    report_step(1)
    assert channel.read() == RankStatus(), "without a supervisor nothing happens"
    monkeypatch.setenv(STATUS_FD, str(channel.fd))
    report_step(10**12)
    assert channel.read().step == 10**12
    report_step(7)
    assert (channel.read().step, channel.read().phase) == (7, Phase.CALLBACKS)
    os.pwrite(channel.fd, b'{"step": torn', 0)
    assert channel.read().step == 7
    report_phase(Phase.EVALUATING)
    assert (channel.read().step, channel.read().phase) == (7, Phase.EVALUATING)
    channel.close()


def test_a_rank_s_own_part_of_a_step_ends_with_its_first_exchange(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(range(100, 1000))
    monkeypatch.setattr(rank_status.time, "monotonic", lambda: float(next(clock)))
    channel = StatusChannel()
    monkeypatch.setenv(STATUS_FD, str(channel.fd))
    before = channel.read().worked, rank_status._mine.timed
    report_exchange()
    assert channel.read().phase is not Phase.EXCHANGING, "outside of a step"
    for phase in (Phase.READING, Phase.TRAINING):
        report_phase(phase)
    report_exchange()
    once = channel.read()
    assert once.phase is Phase.EXCHANGING
    assert (once.worked > before[0], once.timed) == (True, before[1] + 1)
    report_exchange()
    assert channel.read() == once, "the second of this step"
    report_step(10**12)
    assert len(json.dumps(asdict(channel.read()))) < rank_status._SIZE
    channel.close()
