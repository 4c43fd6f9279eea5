"""The choice of `recipe: auto`, kept in the run's folder: every pod and every later start uses the same."""

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from itertools import islice
from typing import Any

from trainer.errors import RunError
from trainer.runs import layout
from trainer.runs.claim import is_begun
from trainer.storage import ObjectChanged, Store
from trainer.training.auto.choice import Choice

VERSION = 1


@dataclass(frozen=True)
class Kept:
    """A choice, and what it was made for.

    Attributes:
        basis: the dataset's identity and the settings that the choice depends on.
        etag: of the object; empty before it is stored.
    """

    choice: Choice
    basis: Mapping[str, Any]
    etag: str = ""

    def dumps(self) -> bytes:
        """The JSON text."""
        return json.dumps({"version": VERSION, "basis": self.basis, **asdict(self.choice)}, indent=1).encode()


def read(store: Store) -> Kept | None:
    """The choice in a run's folder; None without one. Raises RunError where it cannot be read."""
    try:
        etag = store.stat(layout.CHOICE).etag
        document = json.loads(store.get(layout.CHOICE))
        version = document.pop("version")
        basis = document.pop("basis")
        if version <= VERSION:
            return Kept(Choice(**document), basis, etag)
    except FileNotFoundError:
        return None
    except (ValueError, TypeError, KeyError, AttributeError):
        raise RunError(
            f"{store.url}/{layout.CHOICE} is corrupt", "Restore it from a backup, or use a new run.url"
        ) from None
    raise RunError(
        f"{store.url}/{layout.CHOICE} has version {version}; this trainer reads versions up to {VERSION}",
        "Use the trainer that made the run, or a newer one",
    )


def still_holds(kept: Kept, basis: Mapping[str, Any], store: Store) -> bool:
    """Whether a kept choice is to be used: the run has begun with it, or it was made for the same."""
    return kept.basis == basis or is_begun(store)


def keep(store: Store, choice: Choice, basis: Mapping[str, Any], previous: Kept | None) -> Choice:
    """Stores a choice, unless another pod was faster; returns the one that is stored."""
    new = Kept(choice, basis)
    try:
        if previous is None:
            store.put(layout.CHOICE, new.dumps(), if_absent=True)
        else:
            store.put(layout.CHOICE, new.dumps(), if_match=previous.etag)
    except (FileExistsError, ObjectChanged):
        stored = read(store)
        return stored.choice if stored else choice
    return choice


def discard(store: Store) -> None:
    """Removes a choice from a folder that has nothing else."""
    with suppress(OSError):
        if [info.key for info in islice(store.list(), 2)] == [layout.CHOICE]:
            store.delete(layout.CHOICE)
