"""Objects by URL: `s3://bucket/prefix`, `file:///folder`, or a plain path. Nothing above knows which."""

import os
from pathlib import Path

from trainer.errors import ConfigError
from trainer.storage.base import LARGE_BYTES, Buffer, ObjectChanged, ObjectInfo, Store
from trainer.storage.file import FileStore, no_folders_left, remove_leftovers
from trainer.storage.retry import OnRetry
from trainer.urls import parse_url

__all__ = [
    "LARGE_BYTES",
    "Buffer",
    "ObjectChanged",
    "ObjectInfo",
    "OnRetry",
    "Store",
    "join",
    "no_folders_left",
    "open_store",
    "refuses_conditions",
    "remove_leftovers",
    "split_url",
]


def open_store(url: str, *, on_retry: OnRetry | None = None) -> Store:
    """The objects below `url`. Opening asks the network nothing: what is missing shows at the first request.

    `on_retry` is called with the cause of each retried request.
    Raises ConfigError for a URL that names no store, PermissionError where an AWS profile is missing.
    """
    scheme, rest = parse_url(url)
    if scheme == "s3":
        from trainer.storage.s3.s3_store import S3Store

        bucket, _, prefix = rest.partition("/")
        return S3Store(bucket, prefix.strip("/"), on_retry=on_retry)
    return FileStore(Path(os.path.abspath(rest)))


def refuses_conditions(store: Store) -> bool:
    """Whether the server behind a store was found to refuse `if_absent` and `if_match`."""
    return bool(getattr(store, "refuses_conditions", False))


def split_url(url: str) -> tuple[str, str]:
    """The URL of one object as (its folder's URL, its key): `open_store(folder).get(key)`.

    >>> split_url("s3://bucket/a/b.h5")
    ('s3://bucket/a', 'b.h5')
    """
    parse_url(url)
    folder, slash, key = url.rpartition("/")
    if not key or folder.endswith((":/", ":")):
        raise ConfigError(
            f"Expected the URL of one object, received {url!r}", "End it with the object's name."
        )
    return (folder or "/", key) if slash else (".", key)


def join(url: str, *keys: str) -> str:
    """One URL below another.

    >>> join("s3://bucket/runs/", "cars-1", "run.json")
    's3://bucket/runs/cars-1/run.json'
    """
    parts = [part.strip("/") for part in keys]
    return "/".join([url.rstrip("/"), *(part for part in parts if part)])
