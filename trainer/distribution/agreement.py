"""What ranks that train one run have to have alike: the chief's document is the one that counts."""

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
    """`document`: all that has to be alike, as JSON's kinds. `where`: whose it is."""

    document: Mapping[str, Any]
    where: str

    @cached_property
    def digest(self) -> str:
        """SHA-256, the same for the same document."""
        return hashlib.sha256(json.dumps(self.document, sort_keys=True).encode()).hexdigest()

    def refusal(self, other: "Agreement") -> ConfigError | None:
        """Why this one cannot train with `other`, which counts; None where they are alike."""
        if self.digest == other.digest:
            return None
        key, theirs, mine = difference(other.document, self.document) or (
            "configuration",
            *(sorted(other.document), sorted(self.document)),
        )
        return ConfigError(
            f"{self.where} was started with another configuration than {other.where}: {key} is {mine!r} in "
            f"{self.where} and {theirs!r} in {other.where}",
            "Start all of a run with the same configuration, dataset and image",
        )


def agree(distribution: "Distribution", mine: Agreement) -> None:
    """Every rank calls it before they train. When it returns all of them are there, and agree.

    Raises ConfigError in a rank whose document is another one than the chief's, RankLost in the others.
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
        raise RankLost(f"rank {ranks} was started with another configuration", "Its log says which")
