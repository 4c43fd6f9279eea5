from collections.abc import Iterator
from pathlib import Path

import pytest

from trainer.cluster import commands, follow

from .fake import FakeCluster, serving


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeCluster]:
    """A Kubernetes API that KUBECONFIG points to; nobody waits between two looks at it."""
    fake = FakeCluster()
    monkeypatch.setattr(follow, "POLL_SECONDS", 0.01)
    monkeypatch.setattr(commands, "WATCH_SECONDS", 0.01)
    with serving(fake, tmp_path) as kubeconfig:
        monkeypatch.setenv("KUBECONFIG", str(kubeconfig))
        yield fake
