"""The health that the kubelet is told."""

import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from trainer.distribution.rank_status import Phase
from trainer.gang import endpoint
from trainer.gang.endpoint import Endpoint
from trainer.gang.ranks.stall import RankProgress

pytestmark = pytest.mark.fast


@pytest.fixture
def served() -> Iterator[Endpoint]:
    served = Endpoint(0, not_ready=lambda: "", output=lambda rank: None)
    yield served
    served.close()


def test_a_main_loop_that_does_not_turn_is_unhealthy(
    served: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"http://127.0.0.1:{served.port}{endpoint.HEALTHZ}"
    monkeypatch.setattr(endpoint, "STUCK_AFTER", 0.0)
    with pytest.raises(urllib.error.HTTPError, match="503") as error:
        urllib.request.urlopen(url, timeout=10)
    assert b"main loop has not turned for 0 s" in error.value.read()
    monkeypatch.setattr(endpoint, "STUCK_AFTER", 60.0)
    assert urllib.request.urlopen(url, timeout=10).read() == b"ok\n"


def test_only_the_ranks_that_run_are_shown(served: Endpoint) -> None:
    served.update([RankProgress(rank, 7, Phase.READING, idle=2.5) for rank in (0, 1)])
    assert b'trainer_rank_stalled_seconds{rank="1"} 2.5' in served.metrics()
    served.update([RankProgress(0, 7, Phase.READING, idle=3.5)])
    text = served.metrics()
    assert b'trainer_rank_stalled_seconds{rank="0"} 3.5' in text
    assert b'{rank="1"}' not in text


def test_a_file_that_a_rank_has_just_made_does_not_fail_the_scrape(served: Endpoint) -> None:
    Path(served.folder, "counter_7.db").touch()
    assert b"trainer_ranks_running" in served.metrics()
