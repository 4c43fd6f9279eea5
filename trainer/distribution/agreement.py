"""The values that must be equal in all ranks of a run: the chief's document counts."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from trainer.errors import ConfigError, RankLost
from trainer.runs.identity import difference

if TYPE_CHECKING:
    from trainer.distribution import Distribution


@dataclass(frozen=True)
class Agreement:
    """`document`: the values that must be equal, as plain JSON values. `where`: the rank or pod that has
    them."""

    document: Mapping[str, Any]
    where: str

    @cached_property
    def digest(self) -> str:
        """SHA-256, the same for the same document."""
        return hashlib.sha256(json.dumps(self.document, sort_keys=True).encode()).hexdigest()

    def refusal(self, other: "Agreement") -> ConfigError | None:
        """Why this one cannot train with `other`, the one that counts; None if they are equal."""
        if self.digest == other.digest:
            return None
        key, theirs, mine = difference(other.document, self.document) or (
            "configuration",
            *(sorted(other.document), sorted(self.document)),
        )
        return ConfigError(
            f"{self.where} was started with a different configuration than {other.where}: {key} is {mine!r} "
            f"in {self.where} and {theirs!r} in {other.where}",
            "Use the same configuration, dataset and image for all pods and ranks of a run",
        )


def agree(distribution: "Distribution", mine: Agreement) -> None:
    """Waits until all ranks have called this, and checks that their documents are equal; before training.

    Raises ConfigError in a rank whose document differs from the chief's, RankLost in the others.
    """
    if distribution.size == 1:
        return
    import numpy as np  # a supervisor does without

    sent = json.dumps({"document": mine.document, "where": mine.where}).encode()
    refusal = mine.refusal(Agreement(**json.loads(distribution.broadcast_bytes(sent))))
    refused = np.zeros(distribution.size)
    refused[distribution.rank] = refusal is not None
    refused = distribution.sum(refused)
    if refusal:
        raise refusal
    if refused.any():
        ranks = " and ".join(map(str, np.flatnonzero(refused)))
        raise RankLost(f"rank {ranks} was started with a different configuration", "See its log")
