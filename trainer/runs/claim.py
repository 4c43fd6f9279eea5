"""Whose folder it is. run.json says so, and until a checkpoint is committed each start writes it anew.

A process first takes a token, then looks for checkpoints, and then replaces the version of run.json that it
saw. So of two that start at once, with two configurations, the one with the higher token has the folder: the
other learns at its next look at the tokens that it was superseded. A checkpoint that such a stale process
still commits is of a generation below `generation` in run.json, and is not taken for one of this run.
"""

import json
import logging
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from trainer.config import NO_URLS
from trainer.errors import DataError, Interrupted, RunError
from trainer.runs import layout
from trainer.runs.document import RunDocument, classes_json, dump_run, read_document
from trainer.runs.fence import ATTEMPTS, Fence
from trainer.storage import ObjectChanged, Store
from trainer.urls import may_be_typed

log = logging.getLogger(__name__)


def check_identity(store: Store, identity: Mapping[str, Any]) -> None:
    """Raises RunError when the folder holds another run that has a checkpoint."""
    known = _known(store)
    if not known or not (changed := _difference(known, identity)):
        return
    if has_checkpoint(store, known.get("generation", 0)):
        raise _another(store, changed)


def claim_folder(store: Store, run: RunDocument, holder: Mapping[str, Any]) -> tuple[Fence, int]:
    """Makes the folder this run's -> the token taken for `holder`, the first generation of its checkpoints.

    A folder that holds another run without a checkpoint becomes this run's; what that one left for people
    to download is deleted. Otherwise run.json is brought up to date where the configuration changed.

    Raises RunError when it holds another run that has one, Superseded when a higher token was taken
    meanwhile.
    """
    check_identity(store, run.identity)
    fence = Fence.take(store, holder, above=_known(store).get("generation", 0))
    for _ in range(ATTEMPTS):
        with suppress(ObjectChanged, FileExistsError):
            first = _write(store, run, fence)
            store.put(layout.CLASSES, classes_json(run.classes))
            fence.check()
            return fence, first
    raise Interrupted(
        f"{store.url}: {layout.RUN} was changed {ATTEMPTS} times in a row by others",
        "Look for who else starts this run, stop them, and start it again",
    )


def has_checkpoint(store: Store, generation: int = 0) -> bool:
    """Whether the run has finished, or has a checkpoint of one of the generations from `generation` on."""
    for info in store.list(layout.CHECKPOINTS):
        found = layout.parse_checkpoint_key(info.key)
        if found and found[2] == layout.COMMIT and found[1].generation >= generation:
            return True
    return any(info.key == layout.FINISHED for info in store.list(layout.FINISHED))


def _write(store: Store, run: RunDocument, fence: Fence) -> int:
    """One try. Raises ObjectChanged or FileExistsError when another process was quicker."""
    try:
        # First the etag: where run.json changes after this, it is not replaced below.
        etag = store.stat(layout.RUN).etag
        known = read_document(store)
    except (FileNotFoundError, DataError):
        first = 0 if has_checkpoint(store) else fence.number
        fence.check()
        store.put(layout.RUN, dump_run(run, first), if_absent=True)
        return first
    first = int(known.get("generation", 0))
    changed = _difference(known, run.identity)
    if has_checkpoint(store, first):
        if changed:
            raise _another(store, changed)
        new = json.loads(dump_run(run, first))
        if any(known.get(key, {}) != new[key] for key in ("config", "prepared")):
            fence.check()
            store.put(layout.RUN, dump_run(run, first), if_match=etag)
        return first
    fence.check()
    store.put(layout.RUN, dump_run(run, fence.number), if_match=etag)
    if changed:
        key, old, new = changed
        log.info("%s starts anew: it had no checkpoint, and its %s was %r, now %r", store.url, key, old, new)
    for info in [
        info
        for key in (layout.WEIGHTS, layout.METRICS, layout.TIMING, layout.TENSORBOARD)
        for info in store.list(key)
    ]:
        store.delete(info.key)
    return fence.number


def _known(store: Store) -> Mapping[str, Any]:
    """run.json; empty where there is none."""
    try:
        return read_document(store)
    except DataError:
        return {}


def _another(store: Store, changed: tuple[str, Any, Any]) -> RunError:
    key, old, new = changed
    return RunError(
        f"{store.url} is another run's folder: its {key} is {old!r}, this run's is {new!r}",
        "Give this run a run.url of its own, change the value back, or delete the other by trainer runs",
    )


def _difference(known: Mapping[str, Any], identity: Mapping[str, Any]) -> tuple[str, Any, Any] | None:
    """The first part of the identity that differs: its name, run.json's value and this run's."""
    new = json.loads(json.dumps(identity))
    return _first_difference(_with_absolute_weights(known["identity"], new), new)


def _with_absolute_weights(old: Mapping[str, Any], new: Mapping[str, Any]) -> Mapping[str, Any]:
    """An identity of before URLs were made absolute has model.weights as it was typed."""
    typed, url = (identity.get("model", {}).get("weights", "none") for identity in (old, new))
    if {typed, url} & NO_URLS or not may_be_typed(url, typed):
        return old
    return {**old, "model": {**old["model"], "weights": url}}


def _first_difference(old: Mapping[str, Any], new: Mapping[str, Any]) -> tuple[str, Any, Any] | None:
    for key, value in new.items():
        before = old.get(key)
        if before == value:
            continue
        if isinstance(before, dict) and isinstance(value, dict):
            inner = _first_difference(before, value)
            return (f"{key}.{inner[0]}", *inner[1:]) if inner else (key, before, value)
        return key, before, value
    return None
