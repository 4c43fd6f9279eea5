"""What an interrupted start of `prepare` left, and what of it the next one can use.

Every start writes objects under names of its own, so two of them never write the same one; what lies there
becomes a dataset by one conditional PUT of dataset.json alone. For each finished shard there is a record of
what it holds and of the plan it belongs to. A start with the same plan takes these shards as they are, and
writes that into the records; one that fails deletes its shards if nobody has taken them. Both are conditional
PUTs, of which one wins. Whoever commits deletes all that its own dataset does not name.
"""

import hashlib
import io
import json
import re
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
import PIL
from numpy.typing import NDArray

from trainer import __version__
from trainer.dataset.manifest import ARRAYS, SPLITS
from trainer.dataset.shards.shard_reader import Shard
from trainer.preparation.labels import LabelledImage
from trainer.storage.base import ObjectChanged, ObjectInfo, Store

RECORDS = "preparing/"
_FOLDERS = (*(f"{split}/" for split in SPLITS), ARRAYS, RECORDS)
_OURS = re.compile(
    rf"(?:{'|'.join(SPLITS)})/\d{{5,}}-[0-9a-f]{{12}}\.h5"
    rf"|{ARRAYS}\w+-[0-9a-f]{{12}}\.\w+\.npy"
    rf"|{RECORDS}[0-9a-f]{{16}}/\w+-\d{{5,}}-[0-9a-f]{{12}}\.npz"
)


@dataclass(frozen=True)
class FinishedShard:
    """A shard that is in the store: the rows of the items [start, stop) of its split's list.

    `chunks`, `pieces` and `labels` are of its rows, `counts` of their pixels, `digests` uint8
    (stop - start, 32) of the items' files; `bad` are the problems of those that have no row.
    """

    shard: Shard
    start: int
    stop: int
    image_shape: tuple[int, int, int]
    bad: tuple[str, ...]
    chunks: NDArray[np.void]
    pieces: NDArray[np.void]
    labels: NDArray[np.unsignedinteger]
    counts: NDArray[np.int64]
    digests: NDArray[np.uint8]


def new_id() -> str:
    """The part of the names that is of one start alone."""
    return uuid.uuid4().hex[:12]


def shard_key(split: str, number: int, start: str) -> str:
    """Where a shard is."""
    return f"{split}/{number:05d}-{start}.h5"


def fingerprint(
    source: Store, splits: Mapping[str, Sequence[LabelledImage]], options: Mapping[str, Any]
) -> str:
    """SHA-256 of all that decides what the shards hold: the images' names, classes, order and versions (their
    etags and sizes), the options, and the versions of the trainer and of Pillow."""
    digest = hashlib.sha256()
    known = {"trainer": __version__, "pillow": PIL.__version__, "source": source.url, **options}
    digest.update(json.dumps(known, sort_keys=True).encode())
    for split, items in splits.items():
        digest.update(f"\n{split} {len(items)}\n".encode())
        for item in items:
            digest.update(f"{item!r}\n".encode(errors="surrogateescape"))
    total = 0  # a sum, so that the order of the listing does not matter
    try:
        for info in source.list():
            text = f"{info.key}\n{info.etag}\n{info.size}".encode(errors="surrogateescape")
            total += int.from_bytes(hashlib.sha256(text).digest())
    except OSError:  # a folder that cannot be opened: then no other start has the same plan
        digest.update(uuid.uuid4().bytes)
    digest.update(f"{total:x}".encode())
    return digest.hexdigest()


def record_folder(plan: str) -> str:
    """Where the records of a plan's shards are."""
    return f"{RECORDS}{plan[:16]}/"


def record_key(plan: str, split: str, number: int, start: str) -> str:
    """Where the record of a shard is."""
    return f"{record_folder(plan)}{split}-{number:05d}-{start}.npz"


def record(plan: str, start: str, finished: FinishedShard) -> bytes:
    """A shard's record: of this plan, in the hands of this start."""
    header = {
        "plan": plan,
        "start_id": start,
        "shard": finished.shard.document(),
        "start": finished.start,
        "stop": finished.stop,
        "image_shape": finished.image_shape,
        "bad": finished.bad,
    }
    buffer = io.BytesIO()
    np.savez(
        buffer,
        header=np.frombuffer(json.dumps(header).encode(), np.uint8),
        chunks=finished.chunks,
        pieces=finished.pieces,
        labels=finished.labels,
        counts=finished.counts,
        digests=finished.digests,
    )
    return buffer.getvalue()


def adopt(store: Store, plan: str, split: str, start: str) -> list[FinishedShard]:
    """The shards of a split that are whole, from its first item on without a gap: for this start now."""
    records = list(store.list(f"{record_folder(plan)}{split}-"))
    if not records:
        return []
    there = {info.key: (info.etag, info.size) for info in store.list(f"{split}/")}
    found: dict[int, tuple[ObjectInfo, FinishedShard]] = {}
    for info in records:
        finished = _read(store, info.key, plan)
        if finished and there.get(finished.shard.key) == (finished.shard.etag, finished.shard.size):
            found[finished.start] = (info, finished)
    chain: list[FinishedShard] = []
    while (next_one := found.get(chain[-1].stop if chain else 0)) and next_one[1].start < next_one[1].stop:
        info, finished = next_one
        try:
            store.put(info.key, record(plan, start, finished), if_match=info.etag)
        except ObjectChanged:
            break
        chain.append(finished)
    return chain


def abandon(store: Store, key: str, etag: str) -> bool:
    """Gives up a record that this start put: whether nobody has adopted the shard, and nobody will."""
    try:
        store.put(key, b"given up", if_match=etag)
    except Exception:
        return False
    return True


def leftovers(store: Store, named: Sequence[str]) -> Iterator[str]:
    """Every object of any start that is not among those that the dataset names."""
    kept = set(named)
    for folder in _FOLDERS:
        for info in store.list(folder):
            if _OURS.fullmatch(info.key) and info.key not in kept:
                yield info.key


def delete(store: Store, keys: Sequence[str]) -> int:
    """Delete as far as possible; returns how many could not be."""
    failed = 0
    for key in keys:
        failed += 1
        with suppress(Exception):
            store.delete(key)
            failed -= 1
    return failed


def _read(store: Store, key: str, plan: str) -> FinishedShard | None:
    """A record; None for one of another plan, or that is not whole."""
    try:
        with np.load(io.BytesIO(store.get(key)), allow_pickle=False) as arrays:
            header = json.loads(arrays["header"].tobytes())
            if header["plan"] != plan:
                return None
            height, width, channels = header["image_shape"]
            return FinishedShard(
                Shard.of(header["shard"]),
                int(header["start"]),
                int(header["stop"]),
                (height, width, channels),
                tuple(header["bad"]),
                *(arrays[name] for name in ("chunks", "pieces", "labels", "counts", "digests")),
            )
    except FileNotFoundError:
        return None
    except OSError:
        raise
    except Exception:  # whatever garbage makes NumPy and zipfile raise
        return None
