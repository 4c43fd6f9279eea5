"""The configuration of a run, with a recipe that is chosen where none is named."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from trainer.config import RunConfig
from trainer.config.applications import APPLICATIONS
from trainer.config.load import Settings, read_settings, recipe_values
from trainer.dataset.dataset import Dataset
from trainer.dataset.open_dataset import open_dataset
from trainer.distribution import rank_variables
from trainer.errors import EXIT_INVALID, TrainerError
from trainer.runs.claim import check_identity
from trainer.storage import open_store
from trainer.training.auto import kept
from trainer.training.auto.choice import OWN_NETWORK, SMALL_RECIPE, Choice, choose, for_network
from trainer.training.auto.facts import facts_of, weights_for
from trainer.training.run_plan import make_plan

log = logging.getLogger(__name__)


@contextmanager
def loaded_run(
    path: Path | None = None,
    *,
    recipe: str | None = None,
    overrides: Sequence[str] = (),
    ranks: int = 1,
    keep: bool = True,
) -> Iterator[tuple[RunConfig, Choice | None]]:
    """A context with the configuration of the file and the options, over the recipe; and what was chosen,
    where the recipe is auto.

    A choice is made once: with `keep` it is stored in the run's folder, from which later starts and other
    pods take it. A start that is refused in the context leaves none behind. `ranks`: of each pod.

    Raises ConfigError, DataError, RunError as the start of the run would.
    """
    settings = read_settings(path, recipe=recipe, overrides=overrides)
    if not settings.automatic:
        yield settings.over(recipe_values(settings.recipe) if settings.recipe else {}), None
        return
    provisional = settings.over({"model": {"name": OWN_NETWORK}})
    store = open_store(provisional.run.url)
    stored = kept.read(store)
    if stored and rank_variables.is_supervised():  # its supervisor has looked whether it holds
        yield settings.over(stored.choice.values), stored.choice
        return
    dataset = open_dataset(provisional.data.url)
    basis = _basis(settings, dataset)
    if stored and kept.still_holds(stored, basis, store):
        _log("kept from the first start", stored.choice)
        yield settings.over(stored.choice.values), stored.choice
        return
    choice = _choose(settings, provisional, dataset, ranks)
    config = settings.over(choice.values)
    if not keep:
        yield config, choice
        return
    check_identity(store, make_plan(config, ranks).identity)
    with store.no_folders_left():
        first = kept.keep(store, choice, basis, stored)
        _log(first.because, first)
        try:
            yield settings.over(first.values), first
        except TrainerError as error:
            if error.exit_code == EXIT_INVALID:
                kept.discard(store)
            raise


def _log(why: str, choice: Choice) -> None:
    """On rank 0, or by the supervisor of its pod."""
    if rank_variables.rank() == 0 and not rank_variables.is_supervised():
        log.info("recipe auto: %s (%s)", choice.chosen, why)


def _basis(settings: Settings, dataset: Dataset) -> dict[str, Any]:
    """What the choice depends on besides the machine, as JSON values."""
    values = settings.values
    model, data = _section(values, "model"), _section(values, "data")
    return {
        "dataset": dataset.identity,
        "name": model.get("name"),
        "weights": model.get("weights"),
        "image_size": data.get("image_size"),
    }


def _choose(settings: Settings, provisional: RunConfig, dataset: Dataset, ranks: int) -> Choice:
    facts = facts_of(dataset, provisional, ranks)
    model = dict(_section(settings.values, "model"))
    if "weights" in model:
        model["weights"] = provisional.model.weights  # a path, made absolute
    weights = weights_for(facts, model)
    choice = choose(facts, weights, recipe_values(SMALL_RECIPE))
    name = model.get("name")
    if name is not None and name not in APPLICATIONS:
        choice = for_network(choice, name)
    return _beside(choice, _section(settings.values, "train"))


def _beside(choice: Choice, train: Mapping[str, Any]) -> Choice:
    """The choice without what would contradict the values of `train` that are set."""
    chosen, model = dict(choice.values["train"]), dict(choice.values.get("model", {}))
    epochs = train.get("epochs")
    if isinstance(epochs, int) and epochs > 0 and "warmup_epochs" in chosen:
        chosen["warmup_epochs"] = min(chosen["warmup_epochs"], epochs / 2)
    if train.get("phases") is not None:  # they say what is frozen, for how long, at which rates
        for key in ("epochs", "warmup_epochs", "schedule"):
            chosen.pop(key, None)
        model.pop("freeze", None)
        choice = replace(
            choice, chosen=f"{choice.chosen}; epochs, rates and freezing as train.phases has them"
        )
    if train.get("batch_size") is not None:
        chosen.pop("micro_batch", None)
    return replace(choice, values={**choice.values, "train": chosen, "model": model})


def _section(values: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    section = values.get(name)
    return section if isinstance(section, Mapping) else {}
