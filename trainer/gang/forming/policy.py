"""When a gang trains without some of its pods, and when it stops to wait for them."""

import math
from collections.abc import Collection
from dataclasses import dataclass

from trainer.gang.members import Member

WAIT_FOR_REPLACEMENT = 20.0
"""Seconds; a container that restarts in its pod has returned by then."""


MAX_FAILURES = 12
"""Generations; a pod gives up after fewer, so by then another supervisor has tried it."""


@dataclass(frozen=True)
class Policy:
    """
    Attributes:
        elastic: whether generations with fewer pods than wanted may form.
        min_ranks: the smallest number of ranks that train; None for more than half of the pods.
        wait: seconds that a gang waits for missing pods before it trains without them.
        give_up_after: seconds without a generation after which all pods exit with 75.
        max_failures: generations in a row that may fail without a new step; then all pods exit with 64.
        tokens: whether each generation needs a token of the run.
    """

    elastic: bool = True
    min_ranks: int | None = None
    wait: float = WAIT_FOR_REPLACEMENT
    give_up_after: float = 1800.0
    max_failures: float = math.inf
    tokens: bool = False

    def enough(self, members: Collection[Member], wanted: int) -> bool:
        """Whether these members of a gang of `wanted` pods may train without the others."""
        if self.min_ranks is not None:
            return bool(members) and sum(member.ranks for member in members) >= self.min_ranks
        return 2 * len(members) > wanted

    def may_lack_ranks(self, ranks: int) -> bool:
        """Whether a gang may train with `ranks` ranks at once, while the others are replaced."""
        return self.elastic and not self.wait and ranks >= (self.min_ranks or 1)


WAIT_FOR_ALL = Policy(elastic=False, give_up_after=math.inf)
"""Generations of all wanted pods only, without a limit of time."""
