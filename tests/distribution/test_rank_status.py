"""A rank's report reaches its supervisor, and a broken one does no harm."""

import os

import pytest

from trainer.distribution.rank_status import Phase, RankStatus, StatusChannel, report_phase, report_step
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
