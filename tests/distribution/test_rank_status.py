"""A rank's report reaches its supervisor, and a broken one does no harm."""

import os

import pytest

from trainer.distribution.environment import STATUS_FD
from trainer.distribution.rank_status import Phase, RankStatus, StatusChannel, report


def test_the_newest_report_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    channel = StatusChannel()
    assert channel.read() == RankStatus()
    report(Phase.TRAINING, 1)
    assert channel.read() == RankStatus(), "without a supervisor nothing happens"
    monkeypatch.setenv(STATUS_FD, str(channel.fd))
    report(Phase.TRAINING, 10**12)
    assert channel.read().step == 10**12
    report(Phase.TRAINING, 7)
    assert channel.read().step == 7
    os.pwrite(channel.fd, b'{"step": torn', 0)
    assert channel.read().step == 7
    channel.close()
