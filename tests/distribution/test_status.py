"""A rank's report reaches its supervisor, and a broken one does no harm."""

import os

import pytest

from trainer.distribution import status
from trainer.distribution.status import STATUS_FD, Channel, Status, report


def test_the_newest_report_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(status, "_last", Status())
    channel = Channel()
    assert channel.read() == Status()
    report(step=1)
    assert channel.read() == Status(), "without a supervisor nothing happens"
    monkeypatch.setenv(STATUS_FD, str(channel.fd))
    report(phase="restoring")
    assert (channel.read().step, channel.read().phase) == (-1, "restoring")
    report(step=10**12, phase="x" * 1000)
    report(step=7)
    assert (channel.read().step, channel.read().phase) == (7, "x" * 64)
    os.pwrite(channel.fd, b'{"step": torn', 0)
    assert channel.read().step == 7
    channel.close()
