"""A host's own name is checked before Horovod would abort over it."""

import socket

import pytest

from trainer.errors import ConfigError
from trainer.gang.pods import check_own_name

pytestmark = pytest.mark.fast


def test_a_name_that_does_not_resolve_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "gethostname", lambda: "nowhere.invalid")
    with pytest.raises(ConfigError, match=r"host name 'nowhere\.invalid' does not resolve"):
        check_own_name(None)


def test_a_loopback_address_serves_one_machine_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "gethostname", lambda: "127.0.1.1")
    check_own_name(None)
    check_own_name("127.0.0.1")
    with pytest.raises(ConfigError, match=r"resolves to 127\.0\.1\.1, which other pods cannot reach"):
        check_own_name("10.0.0.1")
