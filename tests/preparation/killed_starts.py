"""Prepares one dataset many times, each start killed at another request that changes the store.

    python -m tests.preparation.killed_starts IMAGES URL MOMENT...   -> a JSON line for each moment

Every start is a process of its own, forked from this one, which has imported everything and runs no thread.
"""

import hashlib
import json
import os
import signal
import sys
from collections.abc import Callable
from typing import Any

from trainer.dataset.open_dataset import open_dataset
from trainer.errors import DataError
from trainer.preparation.prepare import prepare
from trainer.storage import open_store
from trainer.storage.file import FileStore
from trainer.storage.s3.s3_store import S3Store

OPTIONS: dict[str, Any] = {"shard_bytes": 600, "rows_of_chunk": 2, "validation": 0.25}


def in_a_process(function: Callable[..., Any], *arguments: Any) -> Any:
    """What the function returns; "killed" where its process was."""
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        code = 1
        try:
            os.write(writing, json.dumps(function(*arguments)).encode())
            code = 0
        finally:
            os._exit(code)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        answer = pipe.read()
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        assert os.WTERMSIG(status) == signal.SIGKILL
        return "killed"
    assert status == 0
    return json.loads(answer)


def start(images: str, url: str, overwrite: bool, moment: int | None) -> dict[str, Any]:
    """Prepare to the end, or until the process kills itself before its `moment`-th change of the store."""
    changes = 0

    def killing(original: Callable[..., Any]) -> Callable[..., Any]:
        def request(*arguments: Any, **options: Any) -> Any:
            nonlocal changes
            changes += 1
            if changes == moment:
                os.kill(os.getpid(), signal.SIGKILL)
            return original(*arguments, **options)

        return request

    for kind in (FileStore, S3Store):
        for name in ("put", "put_file", "delete"):
            setattr(kind, name, killing(getattr(kind, name)))
    made = prepare(images, url, overwrite=overwrite, **OPTIONS)
    return {"identity": made.identity, "resumed": made.resumed}


def whole(url: str) -> str | None:
    """The identity of the dataset, after reading every shard; None where there is none."""
    try:
        dataset = open_dataset(url)
    except DataError:
        return None
    for split in dataset.splits.values():
        for shard in split.objects:
            assert hashlib.sha256(dataset.store.get(shard.key)).hexdigest() == shard.sha256
    return dataset.identity


def named(url: str) -> bool:
    """Whether there is nothing but what the dataset names."""
    from trainer.dataset.manifest import MANIFEST, keys_in

    store = open_store(url)
    keys = sorted(info.key for info in store.list())
    return keys == sorted([MANIFEST, *keys_in(store.get(MANIFEST))])


def remove(url: str) -> None:
    store = open_store(url)
    for info in list(store.list()):
        store.delete(info.key)


def main(images: str, url: str, *moments: str) -> None:
    for moment in map(int, moments):
        overwrite = in_a_process(whole, url) is not None
        killed = in_a_process(start, images, url, overwrite, moment) == "killed"
        between = in_a_process(whole, url)
        done = in_a_process(start, images, url, overwrite, None)
        print(
            json.dumps(
                {
                    "moment": moment,
                    "killed": killed,
                    "between": between,
                    "after": in_a_process(whole, url),
                    "clean": in_a_process(named, url),
                    **done,
                }
            ),
            flush=True,
        )
        if not overwrite:
            in_a_process(remove, url)


if __name__ == "__main__":
    main(*sys.argv[1:])
