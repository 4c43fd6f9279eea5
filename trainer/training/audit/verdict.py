"""Who computed something else than the others: pure."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class AuditVerdict:
    """`culprits`: the ranks that computed otherwise; all who may have where it is not `certain`."""

    culprits: tuple[int, ...]
    certain: bool


def audited_by(rank: int, ranks: int) -> int:
    """The rank whose work `rank` recomputes: its neighbour, or its own where it is the only one."""
    return (rank + 1) % ranks


def disputed(own: Sequence[int], checked: Sequence[int]) -> list[int]:
    """The ranks whose gradients another rank computed otherwise.

    Args:
        own: the digest of what each rank did.
        checked: the digest of what each rank computed of the one that it audits.
    """
    ranks = len(own)
    return sorted(
        audited_by(rank, ranks) for rank in range(ranks) if own[audited_by(rank, ranks)] != checked[rank]
    )


def judge_audit(
    own: Sequence[int], checked: Sequence[int], again: Mapping[int, Sequence[int]]
) -> AuditVerdict:
    """Who is at fault, once every rank has computed each disputed part again.

    Args:
        own, checked: as of `disputed`.
        again: disputed rank -> the digest that each rank, itself among them, computed of its part.
    """
    ranks, culprits, open_ones = len(own), set[int](), set[int]()
    for target, votes in again.items():
        auditor = next(rank for rank in range(ranks) if audited_by(rank, ranks) == target)
        cast = [(target, own[target]), (auditor, checked[auditor]), *enumerate(votes)]
        digest, count = Counter(digest for _, digest in cast).most_common(1)[0]
        if 2 * count > len(cast):
            culprits |= {rank for rank, digest_of_rank in cast if digest_of_rank != digest}
        else:
            open_ones |= {target, auditor}
    certain = bool(culprits)
    return AuditVerdict(tuple(sorted(culprits or open_ones)), certain)
