"""Whether an object is the shard that was prepared, by its checksum."""

import hashlib

from trainer.errors import ConfigError, DataError
from trainer.storage import Store
from trainer.storage.base import ObjectChanged

BLOCK_BYTES = 8 << 20


def checked_etag(store: Store, key: str, size: int, sha256: str) -> str:
    """The etag of the object that has these bytes, each of which is read.

    Raises DataError where it is missing or has others, ConfigError where it is replaced meanwhile.
    """
    place = f"{store.url}/{key}"
    remedy = "Copy it again, or prepare the dataset again"
    try:
        found = store.stat(key)
        if found.size != size:
            raise DataError(f"{place}: expected {size:,} bytes, found {found.size:,}", remedy)
        digest = hashlib.sha256()
        for start in range(0, size, BLOCK_BYTES):
            digest.update(store.get_range(key, start, min(start + BLOCK_BYTES, size), etag=found.etag))
    except FileNotFoundError as error:
        raise DataError(f"{place} is in the index and not in the store", remedy) from error
    except ObjectChanged as error:
        raise ConfigError(f"{place}: it was replaced while it was read", "Try again") from error
    if digest.hexdigest() != sha256:
        raise DataError(f"{place} is not what was prepared: its checksum differs", remedy)
    return found.etag
