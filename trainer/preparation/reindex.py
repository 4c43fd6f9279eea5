"""The index of a dataset that was copied: a store gives each copy an etag of its own."""

import json
from collections.abc import Callable
from dataclasses import dataclass

from trainer.dataset.manifest import MANIFEST
from trainer.dataset.open_dataset import open_dataset
from trainer.dataset.shards.shard_check import checked_etag
from trainer.errors import ConfigError
from trainer.storage.base import ObjectChanged

ProgressCallback = Callable[[int, int], None]
"""Called with the shards that were read and the shards in all."""


@dataclass(frozen=True)
class Reindexed:
    """A dataset all of whose bytes are those that were prepared.

    Attributes:
        url: of the dataset.
        identity: the SHA-256 of the index.
        objects: shards.
        changed: those that had another etag.
    """

    url: str
    identity: str
    objects: int
    changed: int


def reindex(url: str, *, progress: ProgressCallback | None = None) -> Reindexed:
    """Reads every shard of the dataset at `url`, and writes the etags that they have now into its index.

    Raises DataError where a shard is missing or its checksum differs, ConfigError where the index was
    replaced in the meantime: then nothing is written.
    """
    dataset = open_dataset(url)
    store = dataset.store
    before = store.stat(MANIFEST).etag
    manifest = json.loads(store.get(MANIFEST))
    entries = [entry for split in manifest["splits"].values() for entry in split["objects"]]
    changed = 0
    for done, entry in enumerate(entries, 1):
        etag = checked_etag(store, entry["key"], entry["size"], entry["sha256"])
        changed += etag != entry["etag"]
        entry["etag"] = etag
        if progress:
            progress(done, len(entries))
    if changed:
        try:
            store.put(MANIFEST, json.dumps(manifest, indent=1).encode(), if_match=before)
        except ObjectChanged as error:
            raise ConfigError(f"{store.url}: its index was replaced in the meantime", "Try again") from error
    return Reindexed(store.url, dataset.identity, len(entries), changed)
