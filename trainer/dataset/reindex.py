"""The index of a dataset that was copied: a store gives each copy an etag of its own."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass

from trainer.dataset.index import MANIFEST, Shard, open_dataset
from trainer.errors import ConfigError, DataError
from trainer.storage import Store
from trainer.storage.base import ObjectChanged

BLOCK = 8 << 20

ProgressCallback = Callable[[int, int], None]
"""Called with the shards that were read and the shards in all."""


@dataclass(frozen=True)
class Reindexed:
    """The shards whose bytes are those that were prepared, and how many of them have another etag now."""

    url: str
    identity: str
    objects: int
    changed: int


def reindex(url: str, *, progress: ProgressCallback | None = None) -> Reindexed:
    """Reads every shard of the dataset at `url`, and writes the etags that they have now into its index.

    Raises DataError where a shard is missing or its checksum differs, ConfigError where the index was
    replaced meanwhile: then nothing is written.
    """
    dataset = open_dataset(url)
    store = dataset.store
    before = store.stat(MANIFEST).etag
    manifest = json.loads(store.get(MANIFEST))
    entries = [entry for split in manifest["splits"].values() for entry in split["objects"]]
    changed = 0
    for done, entry in enumerate(entries, 1):
        etag = _verified(store, Shard(**entry))
        changed += etag != entry["etag"]
        entry["etag"] = etag
        if progress:
            progress(done, len(entries))
    if changed:
        try:
            store.put(MANIFEST, json.dumps(manifest, indent=1).encode(), if_match=before)
        except ObjectChanged as error:
            raise ConfigError(f"{store.url}: its index was replaced meanwhile", "Try again") from error
    return Reindexed(store.url, dataset.identity, len(entries), changed)


def _verified(store: Store, shard: Shard) -> str:
    """The etag of the object that has the shard's bytes."""
    place = f"{store.url}/{shard.key}"
    remedy = "Copy it again, or prepare the dataset again"
    try:
        found = store.stat(shard.key)
        if found.size != shard.size:
            raise DataError(f"{place}: expected {shard.size:,} bytes, found {found.size:,}", remedy)
        digest = hashlib.sha256()
        for start in range(0, shard.size, BLOCK):
            stop = min(start + BLOCK, shard.size)
            digest.update(store.get_range(shard.key, start, stop, etag=found.etag))
    except FileNotFoundError as error:
        raise DataError(f"{place} is in the index and not in the store", remedy) from error
    except ObjectChanged as error:
        raise ConfigError(f"{place}: it was replaced while it was read", "Try again") from error
    if digest.hexdigest() != shard.sha256:
        raise DataError(f"{place} is not what was prepared: its checksum differs", remedy)
    return found.etag
