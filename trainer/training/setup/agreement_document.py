"""The values that have to be equal on all pods and ranks of a run."""

from collections.abc import Iterable
from typing import Any, Protocol

from trainer.runs.identity import plain
from trainer.runs.run_document import versions
from trainer.training.run_plan import RunPlan


class Weight(Protocol):
    """A Keras variable."""

    @property
    def name(self) -> str: ...
    @property
    def shape(self) -> Iterable[int]: ...


MAY_DIFFER = (
    ("metrics",),
    ("data", "url"),  # the dataset's identity is compared
    ("data", "cache"),
    ("run", "grace"),
    ("run", "stall_timeout"),
)
"""The keys of the configuration that may differ between pods."""


def agreement_document(
    plan: RunPlan, run_url: str, callbacks: Iterable[object] = (), weights: Iterable[Weight] = ()
) -> dict[str, Any]:
    """Plain values, by the names of the configuration's keys.

    Args:
        callbacks: others than the configured ones.
        weights: those of the network, in order, whose gradients have their shapes. The same configuration may
            make others of a network of the user's own.
    """
    config = plan.config.model_dump(mode="json")
    for *sections, name in MAY_DIFFER:
        section = config
        for part in sections:
            section = section[part]
        del section[name]
    config["run"]["url"] = run_url
    return plain(
        {
            "versions": versions(),
            **config,
            "dataset": plan.dataset.identity,
            "classes": len(plan.dataset.classes),
            "steps_per_epoch": plan.steps_per_epoch,
            "lanes": plan.lanes,
            "callbacks": [type(callback).__qualname__ for callback in callbacks],
            "weights": {str(n): f"{w.name} {tuple(w.shape)}" for n, w in enumerate(weights)},
        }
    )
