"""dataset.json and the tables of an index: their keys, what they hold, and how they are written."""

import hashlib
import io
import json
from collections.abc import Mapping
from contextlib import suppress
from pathlib import PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainer.dataset.dataset import Split
from trainer.dataset.shards.shard_reader import Shard
from trainer.storage import join, split_url
from trainer.storage.base import ObjectChanged, Store

SPLITS = ("train", "validation", "test")
MANIFEST = "dataset.json"


ARRAYS = "index/"


VERSION, FOREIGN_VERSION, COLUMN_VERSION = 1, 2, 3
"""2: rows that are stored in another way than ours, or in objects elsewhere; 3: also column by column."""
NEWEST_VERSION = COLUMN_VERSION


_ARRAYS = ("chunks", "labels", "pieces")


FORMAT = "cars-trainer dataset"


def array_keys(name: str, start: str = "") -> tuple[str, str, str]:
    """Where a split's chunks, labels and pieces are; `start` names who wrote them."""
    stem = f"{ARRAYS}{name}-{start}" if start else f"{ARRAYS}{name}"
    return f"{stem}.chunks.npy", f"{stem}.labels.npy", f"{stem}.pieces.npy"


def keys_in(manifest: bytes) -> list[str]:
    """Every object that a manifest names, as far as it can be read."""
    try:
        return keys_of(json.loads(manifest)["splits"])
    except (ValueError, KeyError, TypeError, AttributeError):
        return []


def keys_of(splits: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Every object that a manifest's splits name."""
    return [
        entry["key"]
        for split in splits.values()
        for entry in (*split["objects"], *(split[name] for name in _ARRAYS if name in split))
        if "://" not in entry["key"]
    ]


def write_split(store: Store, split: Split, start: str = "") -> dict[str, Any]:
    """Put a split's arrays; returns its part of the manifest."""
    chunks, labels, pieces = array_keys(split.name, start)
    return {
        "rows": split.rows,
        "rows_per_class": np.bincount(split.labels).tolist(),
        "mean": list(split.mean),
        "std": list(split.std),
        "objects": [shard.document() for shard in split.objects],
        "chunks": _put_array(store, chunks, split.chunks),
        "labels": _put_array(store, labels, split.labels),
        **({"pieces": _put_array(store, pieces, split.pieces)} if len(split.pieces) else {}),
    }


def write_manifest(
    store: Store,
    classes: tuple[str, ...],
    image_shape: tuple[int, int, int],
    splits: dict[str, dict[str, Any]],
    made: dict[str, Any],
    *,
    if_match: str | None = None,
) -> str:
    """Commit a dataset: until this is put it is not there. Returns its identity.

    With `if_match` it replaces the one whose manifest has that etag. Raises FileExistsError where there is
    one, ObjectChanged where that one is not there any more."""
    manifest = {
        "format": FORMAT,
        "version": max(map(_version, splits.values()), default=VERSION),
        "classes": list(classes),
        "image_shape": list(image_shape),
        "encoding": "jpeg" if any(map(_is_jpeg, splits.values())) else "raw",
        "splits": splits,
        "made": made,
    }
    data = json.dumps(manifest, indent=1).encode()
    try:
        store.put(MANIFEST, data, if_absent=if_match is None, if_match=if_match)
    except (FileExistsError, ObjectChanged):
        # Its keys name their writer: if it is there, only the answer to an earlier try was lost.
        with suppress(FileNotFoundError):
            if store.get(MANIFEST) == data:
                return identity_of(manifest)
        raise
    return identity_of(manifest)


def index_beside(url: str) -> str:
    """Where the index of an HDF5 file lies, if nobody says where else."""
    folder, key = split_url(url)
    return join(folder, PurePosixPath(key).stem + ".index")


def _version(split: Mapping[str, Any]) -> int:
    """The version of the trainer's format that a split needs."""
    shards = [Shard.of(entry) for entry in split["objects"]]
    if any(shard.layout.by_columns for shard in shards):
        return COLUMN_VERSION
    return FOREIGN_VERSION if any(shard.foreign for shard in shards) else VERSION


def _is_jpeg(split: Mapping[str, Any]) -> bool:
    return any(Shard.of(entry).layout.jpeg for entry in split["objects"])


def smallest_unsigned(classes: int) -> np.dtype[np.unsignedinteger]:
    """The dtype of the labels 0 … classes - 1."""
    return np.min_scalar_type(max(0, classes - 1))


def _put_array(store: Store, key: str, array: NDArray[Any]) -> dict[str, Any]:
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=False)
    data = buffer.getvalue()
    store.put(key, data)
    return {"key": key, "size": len(data), "sha256": hashlib.sha256(data).hexdigest()}


def identity_of(manifest: dict[str, Any]) -> str:
    """The SHA-256 over classes, shape, encoding, and the content of every shard and array."""
    content = {
        "classes": manifest["classes"],
        "image_shape": manifest["image_shape"],
        "encoding": manifest["encoding"],
        "splits": {
            name: [values["chunks"]["sha256"], values["labels"]["sha256"]]
            + [shard["sha256"] for shard in values["objects"]]
            + [shard["layout"] for shard in values["objects"] if "layout" in shard]
            + ([values["pieces"]["sha256"]] if "pieces" in values else [])
            for name, values in sorted(manifest["splits"].items())
        },
    }
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
