"""Which run a folder belongs to. run.json says so; until a checkpoint is committed, each start replaces it.

A process first takes a token, then looks for checkpoints, and then replaces the version of run.json that it
saw. So if two processes start at once with different configurations, the one with the higher token gets the
folder: the other is superseded at its next check of the tokens. A checkpoint that such a stale process still
commits has a generation below `generation` in run.json, and is ignored.

If run.json is missing, the commits of the checkpoints say which run they belong to.
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
    """Raises RunError if the folder contains a different run with a checkpoint, or checkpoints of an unknown
    run."""
    document = _read_document(store)
    if document is None:
        _check_commits(store, identity)
    elif (changed := difference(document["identity"], identity)) and has_checkpoint(store, _first(document)):
        raise _different_run(store, changed)


def check_resumable(store: Store) -> None:
    """Raises RunError if the run has finished and has no checkpoint left to resume from."""
    document = _read_document(store)
    if _is_finished(store) and not any(_commits(store, _first(document))):
        raise RunError(
            f"{store.url} has finished, and no checkpoint is left to resume from",
            "Use a new run.url, and start from its weights: set model.weights to this run's folder",
        )


def claim_folder(store: Store, run: RunDocument, holder: Mapping[str, Any]) -> tuple[Fence, int]:
    """Claims the folder for this run -> the token of `holder`, and the first generation of its
    checkpoints.

    If the folder contains a different run without a checkpoint, this run replaces it, and what that one
    published is deleted. Otherwise run.json is updated if the configuration changed.

    If the holder has a "generation", that is the token that the coordinator of its "gang" took for it.

    Raises RunError if it contains a different run with a checkpoint, Superseded if a higher token was taken
    in the meantime.
    """
    check_identity(store, run.identity)
    fence = _token(store, run, holder, above=first_generation(store))
    for _ in range(MAX_TOKEN_ATTEMPTS):
        with suppress(ObjectChanged, FileExistsError):
            first = _write(store, run, fence)
            store.put(layout.CLASSES, classes_json(run.classes))
            fence.check()
            return fence, first
    raise TransientError(
        f"{store.url}: other processes changed {layout.RUN} {MAX_TOKEN_ATTEMPTS} times in a row",
        "Stop the other processes that start this run, and restart it",
    )


def claim_again(store: Store, run: RunDocument, holder: Mapping[str, Any]) -> Fence:
    """A new token for `holder`, of a gang whose ranks hold the run's state: what the gang has claimed and
    published stays. If the folder is not this run's, such as after `give_back`, it is claimed.

    Raises RunError if the folder contains a different run.
    """
    document = _read_document(store)
    if document is None or difference(document["identity"], run.identity):
        return claim_folder(store, run, holder)[0]
    return _token(store, run, holder, above=_first(document))


def give_back(store: Store, holder: Mapping[str, Any]) -> None:
    """Removes what `claim_folder` wrote for `holder`, if the folder was new and contains nothing else.

    Does nothing if another process has claimed the folder since. Raises only the store's errors.
    """
    newest = newest_holder(store)
    if newest is None or any(newest[1].get(name) != value for name, value in plain(holder).items()):
        return
    mine = (layout.CLASSES, layout.HOLDER, layout.RUN, layout.token(newest[0]), layout.CHOICE)
    if {info.key for info in store.list()} <= {*mine}:
        for key in mine:
            store.delete(key)


def has_checkpoint(store: Store, generation: int = 0) -> bool:
    """Whether the run has finished, or has a checkpoint of `generation` or a later one."""
    return any(_commits(store, generation)) or _is_finished(store)


def first_generation(store: Store) -> int:
    """The first generation whose checkpoints belong to the folder's run; 0 for a new folder."""
    return _first(_read_document(store))


def is_begun(store: Store) -> bool:
    """Whether the folder contains a run that has finished or has a checkpoint."""
    return has_checkpoint(store, _first(_read_document(store)))


def _write(store: Store, run: RunDocument, fence: Fence) -> int:
    """Tries once. Raises ObjectChanged or FileExistsError if another process was faster."""
    try:
        # First the etag: if run.json changes after this, it is not replaced below.
        etag = store.stat(layout.RUN).etag
        document = read_document(store)
    except (FileNotFoundError, DataError):
        first = fence.number
        if has_checkpoint(store):
            _check_commits(store, run.identity)
            log.warning(
                "%s had no %s; restored it, as its checkpoints are of this run", store.url, layout.RUN
            )
            first = 0
        fence.check()
        store.put(layout.RUN, dump_run(run, first), if_absent=True)
        return first
    first = _first(document)
    changed = difference(document["identity"], run.identity)
    if has_checkpoint(store, first):
        if changed:
            raise _different_run(store, changed)
        new = json.loads(dump_run(run, first))
        if any(document.get(key, {}) != new[key] for key in ("config", "prepared")):
            fence.check()
            store.put(layout.RUN, dump_run(run, first), if_match=etag)
        return first
    fence.check()
    store.put(layout.RUN, dump_run(run, fence.number), if_match=etag)
    if changed:
        key, old, new = changed
        log.info(
            "%s: starting over: no checkpoint yet, and %s changed from %r to %r", store.url, key, old, new
        )
    for info in [
        info
        for key in (layout.WEIGHTS, layout.METRICS, layout.TIMING, layout.TENSORBOARD)
        for info in store.list(key)
    ]:
        store.delete(info.key)
    return fence.number


def _token(store: Store, run: RunDocument, holder: Mapping[str, Any], *, above: int) -> Fence:
    """The token of the holder's coordinator, or a new one."""
    if "generation" in holder:
        fence = Fence.hold(store, holder["generation"], holder["gang"])
    else:
        fence = Fence.take(store, holder, above=above)
    fence.identity = plain(run.identity)
    return fence


def _read_document(store: Store) -> Mapping[str, Any] | None:
    """run.json; None if it is missing."""
    try:
        return read_document(store)
    except DataError:
        return None


def _first(document: Mapping[str, Any] | None) -> int:
    """The first generation whose checkpoints belong to the run of this run.json."""
    return int(document.get("generation", 0)) if document else 0


def _commits(store: Store, generation: int = 0) -> Iterator[str]:
    """The keys of the commits of `generation` and later ones."""
    for info in store.list(layout.CHECKPOINTS):
        parsed = layout.parse_checkpoint_key(info.key)
        if parsed and parsed[2] == layout.COMMIT and parsed[1].generation >= generation:
            yield info.key


def _is_finished(store: Store) -> bool:
    return any(info.key == layout.FINISHED for info in store.list(layout.FINISHED))


def _check_commits(store: Store, identity: Mapping[str, Any]) -> None:
    """Checks a folder without run.json. Raises RunError if it has a checkpoint that does not belong to the
    run with this identity, or does not say which run it belongs to."""
    commits = list(_commits(store))
    if not commits and not _is_finished(store):
        return
    identities = [_identity(store, key) for key in commits]
    if not identities or None in identities:
        raise RunError(
            f"{store.url} contains checkpoints or a finished run, but no {layout.RUN} to identify the run",
            f"Restore {layout.RUN} from a backup or an older version, or use a new run.url",
        )
    for committed in identities:
        if committed is not None and (changed := difference(committed, identity)):
            raise _different_run(store, changed)


def _identity(store: Store, key: str) -> dict[str, Any] | None:
    """The identity of the run that the checkpoint of this commit belongs to; None if it has none."""
    try:
        identity = json.loads(store.get(key)).get("identity")
    except (FileNotFoundError, ValueError, AttributeError):
        return None
    return identity if isinstance(identity, dict) else None


def _different_run(store: Store, changed: Difference) -> RunError:
    key, old, new = changed
    from_here = ""
    if any(info.key == layout.weights("best") for info in store.list(layout.WEIGHTS)):
        from_here = f", and to start from this run's weights model.weights: {store.url}"
    return RunError(
        f"{store.url} already contains a different run: {key} is {old!r} there and {new!r} here",
        f"Use a different run.url{from_here}; or change the value back, or delete the other run by `trainer "
        "runs --remove`",
    )
