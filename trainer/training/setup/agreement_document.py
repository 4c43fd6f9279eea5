"""What all pods and ranks of a run have to have alike, beside the number of their steps."""

from collections.abc import Iterable
from typing import Any

from trainer.runs.identity import plain
from trainer.runs.run_document import versions
from trainer.training.run_plan import RunPlan

MAY_DIFFER = (
    ("metrics",),
    ("data", "url"),  # the dataset's identity is compared
    ("data", "cache"),
    ("run", "grace"),
    ("run", "stall_timeout"),
)
"""The keys of the configuration that each pod may have for itself."""


def agreement_document(plan: RunPlan, run_url: str, callbacks: Iterable[object] = ()) -> dict[str, Any]:
    """Plain values, by the names of the configuration's keys. `callbacks`: those that it does not name."""
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
        }
    )
