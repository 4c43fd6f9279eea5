"""Whether an object is the shard that was prepared, by its checksum."""

import hashlib

from trainer.errors import ConfigError, DataError
from trainer.storage import Store
from trainer.storage.base import ObjectChanged

BLOCK_BYTES = 8 << 20


def checked_etag(store: Store, key: str, size: int, sha256: str) -> str:
    """The etag of the object that has these bytes, each of which is read.

    Raises DataError where it is missing or has others, ConfigError where it is replaced while it is read.
    """
    shard = f"{store.url}/{key}"
    remedy = "Copy it again, or prepare the dataset again"
    try:
        info = store.stat(key)
        if info.size != size:
            raise DataError(f"{shard}: expected {size:,} bytes, received {info.size:,}", remedy)
        digest = hashlib.sha256()
        for start in range(0, size, BLOCK_BYTES):
            digest.update(store.get_range(key, start, min(start + BLOCK_BYTES, size), etag=info.etag))
    except FileNotFoundError as error:
        raise DataError(f"{shard} is in the index, but not in the store", remedy) from error
    except ObjectChanged as error:
        raise ConfigError(f"{shard}: was replaced while being read", "Try again") from error
    if digest.hexdigest() != sha256:
        raise DataError(f"{shard} is not what was prepared: its checksum differs", remedy)
    return info.etag
