"""The ranks that computed something else than the others: pure."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class AuditVerdict:
    """`culprits`: the ranks that differ; all that may be wrong where it is not `certain`."""

    culprits: tuple[int, ...]
    certain: bool


def audited_by(rank: int, ranks: int) -> int:
    """The rank whose work `rank` recomputes: its neighbour, or its own where it is the only one."""
    return (rank + 1) % ranks


def disputed(digests: Sequence[int], checked: Sequence[int]) -> list[int]:
    """The ranks for whose gradients another rank got a different digest.

    Args:
        digests: the digest of what each rank did.
        checked: the digest of what each rank computed of the one that it audits.
    """
    ranks = len(digests)
    return sorted(
        audited_by(rank, ranks) for rank in range(ranks) if digests[audited_by(rank, ranks)] != checked[rank]
    )


def judge_audit(
    digests: Sequence[int], checked: Sequence[int], again: Mapping[int, Sequence[int]]
) -> AuditVerdict:
    """The ranks at fault, after every rank has computed each disputed part again.

    Args:
        digests, checked: as of `disputed`.
        again: disputed rank -> the digest that each rank, itself among them, computed of its part.
    """
    ranks, culprits, open_ones = len(digests), set[int](), set[int]()
    for target, votes in again.items():
        auditor = next(rank for rank in range(ranks) if audited_by(rank, ranks) == target)
        cast = [(target, digests[target]), (auditor, checked[auditor]), *enumerate(votes)]
        digest, count = Counter(digest for _, digest in cast).most_common(1)[0]
        if 2 * count > len(cast):
            culprits |= {rank for rank, digest_of_rank in cast if digest_of_rank != digest}
        else:
            open_ones |= {target, auditor}
    certain = bool(culprits)
    return AuditVerdict(tuple(sorted(culprits or open_ones)), certain)
