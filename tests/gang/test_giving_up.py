"""A gang whose ranks fail again and again without a new step gives up, whoever coordinates."""

from pathlib import Path

import pytest

from tests.gang.test_decisions import COMMON, Table
from trainer.distribution.rank_status import Phase
from trainer.gang.forming.policy import Policy
from trainer.gang.leading.tokens import Lead, Taken, read_lead, take_token
from trainer.gang.members import ExitPod, Gang, MemberState, StopMode, StopRanks
from trainer.gang.ranks.stall import RankProgress
from trainer.storage import open_store

pytestmark = pytest.mark.fast


def fail(table: Table, step: int = -1) -> None:
    """One generation, of which pod 1's ranks fail after `step`."""
    table.run()
    table.say(1, progress=(RankProgress(1, step, Phase.TRAINING, 0.0),))
    table.say(0, state=MemberState.IDLE, exit_code=80)
    table.say(1, state=MemberState.BACKING_OFF, exit_code=137, progress=())


def test_failures_without_a_new_step_end_the_run_with_64_and_the_reason() -> None:
    table = Table(2, Policy(max_failures=4))
    for _ in range(3):
        fail(table, 7)
    fail(table, 8)
    for failures in (2, 3):
        fail(table, 8)
        assert table.gang.failures == failures, "step 8 was new"
    fail(table, 8)
    reason = "4 generations in a row failed after step 8, the last one ended because pod 1 has lost its ranks"
    assert table.say(0) == ExitPod(64, f"{reason}; see its log")


def test_the_count_is_kept_with_the_run(tmp_path: Path) -> None:
    store = open_store(str(tmp_path))
    table = Table(2, Policy(max_failures=4))
    for _ in range(2):
        fail(table, 7)
    mine = Lead("job", "uid", 0, "pod-0:1", {}, step=table.gang.step, failures=table.gang.failures)
    assert take_token(store, mine, None, {}) == Taken(1)
    lead = read_lead(store)
    assert lead
    assert (lead.step, lead.failures) == (7, 2)
    table = Table(2, Policy(max_failures=4))
    table.gang = Gang(agreement=COMMON, step=lead.step, failures=lead.failures)
    for _ in range(2):
        fail(table, 7)
    assert isinstance(table.say(0), ExitPod)


def test_pods_that_go_are_no_failures() -> None:
    table = Table(2, Policy(max_failures=1))
    for _ in range(3):
        table.run()
        table.say(1, state=MemberState.LEAVING, exit_code=75)
        assert table.say(0) == StopRanks(StopMode.GRACEFUL, "pod 1 is leaving")
        table.say(0, state=MemberState.IDLE, exit_code=75)
    assert table.gang.failures == 0
