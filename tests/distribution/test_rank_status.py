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
    report_batch,
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


def test_a_rank_s_own_part_of_a_step_ends_with_its_exchange(monkeypatch: pytest.MonkeyPatch) -> None:
    channel = StatusChannel()
    monkeypatch.setenv(STATUS_FD, str(channel.fd))
    monkeypatch.setattr(rank_status, "_mine", RankStatus())
    monkeypatch.setattr("trainer.distribution.rank_status.time.time", lambda: 1000.0)
    report_step(0, 1002.0)
    assert channel.read().timed == 0, "a step whose begin is not known"
    report_phase(Phase.READING)
    report_batch(48)
    report_step(1, 1002.5)
    assert (channel.read().worked, channel.read().timed, channel.read().rows) == (2.5, 1, 48)
    report_phase(Phase.READING)
    report_step(2, 999.0)
    assert (channel.read().worked, channel.read().timed) == (2.5, 2), "the clock was set back"
    report_phase(Phase.READING)
    report_step(10**12)
    assert channel.read().timed == 2, "of a process without others"
    assert len(json.dumps(asdict(channel.read()))) < rank_status._SIZE
    channel.close()
