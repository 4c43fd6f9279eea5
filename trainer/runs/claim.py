"""Whose folder it is. run.json says so, and until a checkpoint is committed each start writes it anew.

A process first takes a token, then looks for checkpoints, and then replaces the version of run.json that it
saw. So of two that start at once, with two configurations, the one with the higher token has the folder: the
other learns at its next look at the tokens that it was superseded. A checkpoint that such a stale process
still commits is of a generation below `generation` in run.json, and is not taken for one of this run.

Where run.json is gone, the commits of the checkpoints say whose they are.
"""

import json
import logging
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any

from trainer.errors import DataError, RunError, TransientError
from trainer.runs import layout
from trainer.runs.fence import MAX_TOKEN_ATTEMPTS, Fence, newest_holder
from trainer.runs.identity import Difference, difference, plain
from trainer.runs.run_document import RunDocument, classes_json, dump_run, read_document
from trainer.storage import ObjectChanged, Store

log = logging.getLogger(__name__)


def check_identity(store: Store, identity: Mapping[str, Any]) -> None:
    """Raises RunError when the folder holds another run that has a checkpoint, or one of which nobody knows
    what it is."""
    known = _known(store)
    if known is None:
        _check_commits(store, identity)
    elif (changed := difference(known["identity"], identity)) and has_checkpoint(store, _first(known)):
        raise _another(store, changed)


def check_resumable(store: Store) -> None:
    """Raises RunError when the run has finished and has no checkpoint any more to continue from."""
    known = _known(store)
    if _is_finished(store) and not any(_commits(store, _first(known))):
        raise RunError(
            f"{store.url} has finished, and none of its checkpoints is left to continue from",
            "Use a new run.url that starts from its weights: model.weights takes a run's folder",
        )


def claim_folder(store: Store, run: RunDocument, holder: Mapping[str, Any]) -> tuple[Fence, int]:
    """Makes the folder this run's -> the token taken for `holder`, the first generation of its checkpoints.

    A folder that holds another run without a checkpoint becomes this run's; what that one left for people
    to download is deleted. Otherwise run.json is brought up to date where the configuration changed.

    Raises RunError when it holds another run that has one, Superseded when a higher token was taken
    meanwhile.
    """
    check_identity(store, run.identity)
    fence = Fence.take(store, holder, above=_first(_known(store)))
    fence.identity = plain(run.identity)
    for _ in range(MAX_TOKEN_ATTEMPTS):
        with suppress(ObjectChanged, FileExistsError):
            first = _write(store, run, fence)
            store.put(layout.CLASSES, classes_json(run.classes))
            fence.check()
            return fence, first
    raise TransientError(
        f"{store.url}: {layout.RUN} was changed {MAX_TOKEN_ATTEMPTS} times in a row by others",
        "Look for who else starts this run, stop them, and start it again",
    )


def give_back(store: Store, holder: Mapping[str, Any]) -> None:
    """Removes what `claim_folder` wrote for `holder`, where the folder was new and holds nothing else.

    Nothing happens where another one has the folder by now. Raises only the store's errors.
    """
    newest = newest_holder(store)
    if newest is None or any(newest[1].get(name) != value for name, value in plain(holder).items()):
        return
    mine = {layout.CLASSES, layout.RUN, layout.token(newest[0])}
    if {info.key for info in store.list()} <= mine:
        for key in (layout.CLASSES, layout.RUN, layout.token(newest[0])):
            store.delete(key)


def has_checkpoint(store: Store, generation: int = 0) -> bool:
    """Whether the run has finished, or has a checkpoint of one of the generations from `generation` on."""
    return any(_commits(store, generation)) or _is_finished(store)


def is_begun(store: Store) -> bool:
    """Whether the folder holds a run that has finished or has a checkpoint."""
    return has_checkpoint(store, _first(_known(store)))


def _write(store: Store, run: RunDocument, fence: Fence) -> int:
    """One try. Raises ObjectChanged or FileExistsError when another process was quicker."""
    try:
        # First the etag: where run.json changes after this, it is not replaced below.
        etag = store.stat(layout.RUN).etag
        known = read_document(store)
    except (FileNotFoundError, DataError):
        first = fence.number
        if has_checkpoint(store):
            _check_commits(store, run.identity)
            log.warning("%s had no %s; its checkpoints say that they are this run's", store.url, layout.RUN)
            first = 0
        fence.check()
        store.put(layout.RUN, dump_run(run, first), if_absent=True)
        return first
    first = _first(known)
    changed = difference(known["identity"], run.identity)
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


def _known(store: Store) -> Mapping[str, Any] | None:
    """run.json; None where there is none."""
    try:
        return read_document(store)
    except DataError:
        return None


def _first(known: Mapping[str, Any] | None) -> int:
    """The first generation whose checkpoints are the run's."""
    return int(known.get("generation", 0)) if known else 0


def _commits(store: Store, generation: int = 0) -> Iterator[str]:
    """The keys of the commits of the generations from `generation` on."""
    for info in store.list(layout.CHECKPOINTS):
        found = layout.parse_checkpoint_key(info.key)
        if found and found[2] == layout.COMMIT and found[1].generation >= generation:
            yield info.key


def _is_finished(store: Store) -> bool:
    return any(info.key == layout.FINISHED for info in store.list(layout.FINISHED))


def _check_commits(store: Store, identity: Mapping[str, Any]) -> None:
    """Of a folder without run.json. Raises RunError unless it has no checkpoint, or only those that say that
    they are of the run with this identity."""
    commits = list(_commits(store))
    if not commits and not _is_finished(store):
        return
    known = [_identity(store, key) for key in commits]
    if not known or None in known:
        raise RunError(
            f"{store.url} holds checkpoints or a finished run, and no {layout.RUN} that says of which run",
            f"Restore {layout.RUN} from a backup or an older version, or use a new run.url",
        )
    for one in known:
        if one is not None and (changed := difference(one, identity)):
            raise _another(store, changed)


def _identity(store: Store, key: str) -> dict[str, Any] | None:
    """Of which run the checkpoint of this commit is; None where it does not say so."""
    try:
        found = json.loads(store.get(key)).get("identity")
    except (FileNotFoundError, ValueError, AttributeError):
        return None
    return found if isinstance(found, dict) else None


def _another(store: Store, changed: Difference) -> RunError:
    key, old, new = changed
    return RunError(
        f"{store.url} is another run's folder: its {key} is {old!r}, this run's is {new!r}",
        "Give this run a run.url of its own, change the value back, or delete the other by trainer runs",
    )
