"""What an exit means, and how long a rank rests."""

import pytest

from trainer.errors import EXIT_INTERRUPTED, EXIT_LOST
from trainer.gang.ranks.rank_process import Exit
from trainer.gang.ranks.restarts import ExitVerdict, Failures, judge_exits

pytestmark = pytest.mark.fast

KILLED, FAILED = Exit(2, -9, asked=False), Exit(1, 3, asked=False)


@pytest.mark.parametrize(
    ("exits", "verdict"),
    [
        ([Exit(0, 0, False), Exit(1, 0, False)], ExitVerdict(0)),
        ([Exit(0, 75, False), Exit(1, 0, False)], ExitVerdict(75)),
        ([Exit(0, 75, False), FAILED], ExitVerdict(3, FAILED)),
        ([FAILED, KILLED], ExitVerdict(1, KILLED)),
        ([FAILED, Exit(0, -9, asked=True)], ExitVerdict(3, FAILED)),
        ([Exit(0, 75, True), Exit(1, -9, asked=True)], ExitVerdict(EXIT_LOST, forced=(1,))),
        ([Exit(0, EXIT_LOST, False), Exit(1, EXIT_LOST, True)], ExitVerdict(EXIT_LOST)),
        ([Exit(0, EXIT_LOST, False), Exit(1, -9, asked=True)], ExitVerdict(EXIT_LOST, forced=(1,))),
        (
            [Exit(0, EXIT_LOST, False), Exit(1, -9, asked=True, frozen=True)],
            ExitVerdict(EXIT_LOST, forced=(1,), frozen=(1,)),
        ),
        ([Exit(0, EXIT_LOST, False), KILLED], ExitVerdict(1, KILLED)),
        ([KILLED, Exit(1, 64, asked=True)], ExitVerdict(64, Exit(1, 64, asked=True))),
    ],
)
def test_verdicts(exits: list[Exit], verdict: ExitVerdict) -> None:
    assert judge_exits(exits) == verdict


@pytest.mark.parametrize(
    ("exits", "held", "verdict"),
    [
        ([], EXIT_LOST, ExitVerdict(EXIT_LOST)),
        ([], EXIT_INTERRUPTED, ExitVerdict(EXIT_INTERRUPTED)),
        ([KILLED], EXIT_LOST, ExitVerdict(1, KILLED)),
        ([Exit(1, -9, asked=True)], EXIT_LOST, ExitVerdict(EXIT_LOST, forced=(1,))),
        ([Exit(1, EXIT_LOST, asked=False)], EXIT_LOST, ExitVerdict(EXIT_LOST)),
    ],
)
def test_verdicts_where_others_live_on(exits: list[Exit], held: int, verdict: ExitVerdict) -> None:
    assert judge_exits(exits, held=held) == verdict


def test_only_a_rank_that_failed_by_itself_is_reported_before_the_others_have_stopped() -> None:
    assert judge_exits([]).own_fault is None
    assert judge_exits([FAILED]).own_fault == 3
    assert judge_exits([KILLED]).own_fault == 1
    assert judge_exits([Exit(0, EXIT_LOST, asked=False)]).own_fault is None
    assert judge_exits([Exit(0, 64, asked=False)]).own_fault is None, "that ends the run"


def test_the_code_of_a_broken_exchange_stays_between_ranks_and_supervisor() -> None:
    assert ExitVerdict(EXIT_LOST).exit_code == 75
    assert ExitVerdict(EXIT_LOST, forced=(1,)).exit_code == 1
    assert ExitVerdict(64).exit_code == 64


def test_the_rest_grows_without_progress_and_a_new_step_ends_it() -> None:
    failures, rests = Failures(), []
    for _ in range(8):
        failures = failures.after(10)
        rests.append(failures.backoff)
    assert rests == [0, 1, 2, 4, 8, 16, 30, 30]
    assert failures.after(9).count == 9
    assert failures.after(11) == Failures(1, 11)
