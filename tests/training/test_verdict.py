"""Whose gradients are wrong, from digests alone."""

import numpy as np
import pytest
import tensorflow as tf

from trainer.training.audit.digest import digest
from trainer.training.audit.verdict import AuditVerdict, audited_by, disputed, judge_audit


def audit(ranks: int, *, faulty: int, recovers: bool) -> tuple[list[int], AuditVerdict]:
    """A rank that computes 1 more than is right; `recovers`: but not when all compute again."""

    def of(rank: int, target: int, first: bool) -> int:
        return 100 + target + (rank == faulty and (first or not recovers))

    own = [of(rank, rank, first=not recovers or rank == faulty) for rank in range(ranks)]
    checked = [of(rank, audited_by(rank, ranks), first=not recovers) for rank in range(ranks)]
    found = disputed(own, checked)
    again = {target: [of(rank, target, first=False) for rank in range(ranks)] for target in found}
    return found, judge_audit(own, checked, again)


@pytest.mark.parametrize("ranks", [3, 4, 64])
@pytest.mark.parametrize("recovers", [True, False])
def test_of_three_ranks_or_more_the_faulty_one_is_named(ranks: int, recovers: bool) -> None:
    for faulty in (0, 1, ranks - 1):
        found, verdict = audit(ranks, faulty=faulty, recovers=recovers)
        assert faulty in found
        assert verdict == AuditVerdict((faulty,), certain=True)


def test_of_two_ranks_a_passing_fault_is_named_and_a_lasting_one_is_one_of_both() -> None:
    assert audit(2, faulty=1, recovers=True)[1] == AuditVerdict((1,), certain=True)
    assert audit(2, faulty=1, recovers=False)[1] == AuditVerdict((0, 1), certain=False)


def test_one_rank_finds_its_own_passing_faults() -> None:
    assert judge_audit([7], [8], {0: [8]}) == AuditVerdict((0,), certain=True)
    assert judge_audit([7], [8], {0: [9]}) == AuditVerdict((0,), certain=False)


def test_nothing_is_disputed_where_all_agree() -> None:
    assert disputed([1, 2, 3], [2, 3, 1]) == []


def test_every_flipped_bit_changes_the_digest() -> None:
    numbers = np.random.default_rng(0).standard_normal(50, np.float32)
    right = int(digest(tf.constant(numbers)))
    for place in (0, 1, 49):
        for bit in range(32):
            flipped = numbers.view(np.uint32).copy()
            flipped[place] ^= np.uint32(1 << bit)
            assert int(digest(tf.constant(flipped.view(np.float32)))) != right
    assert int(digest(tf.constant(numbers[::-1].copy()))) != right
