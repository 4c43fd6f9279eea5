"""The environments of a pod's ranks in one generation, and of the processes that wait to replace one."""

from collections.abc import Mapping
from dataclasses import dataclass

from trainer.gang.members import Generation
from trainer.gang.placement import slots
from trainer.gang.ranks.rank_environment import rank_environment
from trainer.gang.ranks.slot import Slot


@dataclass(frozen=True)
class PodEnvironments:
    """What is the same in all generations of a pod; see `rank_environment`.

    Attributes:
        index: the pod's number.
        ranks: its ranks when all are there.
    """

    index: int
    ranks: int
    gloo_timeout: int
    gang: str
    gpus: int
    metrics_folder: str | None

    def of_ranks(self, generation: Generation, port: int) -> dict[int, Mapping[str, str]]:
        """Rank -> its environment. `port`: of the generation's rendezvous."""
        return {slot.rank: self._of(slot, generation, port) for slot in slots(generation, self.index)}

    def parked(self, generation: Generation, port: int) -> Mapping[str, str]:
        """A rank's, whose place is not its own; threads and cores are those of a whole pod."""
        slot = Slot(0, self.ranks, 0, self.ranks, 0, 1, self.index)
        return self._of(slot, generation, port)

    def alone(self, port: int) -> Mapping[str, str]:
        """The environment of a run's only rank, in no generation."""
        return self._of(Slot(0, 1, 0, 1, 0, 1, self.index), Generation("", 0, ()), port)

    def _of(self, slot: Slot, generation: Generation, port: int) -> Mapping[str, str]:
        return rank_environment(
            slot,
            generation=generation.number,
            rendezvous_port=port,
            gloo_timeout=self.gloo_timeout,
            gang=self.gang,
            token=generation.token,
            metrics_folder=self.metrics_folder,
            gpus=self.gpus,
        )
