"""Objects by URL: `s3://bucket/prefix`, `file:///folder`, or a plain path. Nothing above it knows which."""

import os
from pathlib import Path

from trainer.errors import ConfigError
from trainer.storage.base import CHECKSUM_SETTING, LARGE_BYTES, Buffer, ObjectChanged, ObjectInfo, Store
from trainer.storage.file import FileStore
from trainer.storage.retry import OnRetry, retry_seconds
from trainer.urls import parse_url

__all__ = [
    "CHECKSUM_SETTING",
    "LARGE_BYTES",
    "Buffer",
    "ObjectChanged",
    "ObjectInfo",
    "OnRetry",
    "Store",
    "join",
    "open_store",
    "retry_seconds",
    "split_url",
]


def open_store(url: str, *, on_retry: OnRetry | None = None, budget: float | None = None) -> Store:
    """The objects below `url`. Opening makes no request: what is missing shows at the first one.

    `on_retry` is called with the cause of each retried request. `budget`: the seconds for which an operation
    is retried; default: `retry_seconds()`.
    Raises ConfigError for an invalid URL, PermissionError where an AWS profile is missing.
    """
    scheme, rest = parse_url(url)
    if scheme == "s3":
        from trainer.storage.s3.s3_store import S3Store

        bucket, _, prefix = rest.partition("/")
        return S3Store(bucket, prefix.rstrip("/"), on_retry=on_retry, budget=budget)
    return FileStore(Path(os.path.abspath(rest)))


def split_url(url: str) -> tuple[str, str]:
    """The URL of one object as (its folder's URL, its key): `open_store(folder).get(key)`.

    >>> split_url("s3://bucket/a/b.h5")
    ('s3://bucket/a', 'b.h5')
    >>> split_url("s3://bucket//b.h5")
    ('s3://bucket', '/b.h5')
    """
    parse_url(url)
    folder, slash, key = url.rpartition("/")
    if url.startswith("s3://") and key and folder.endswith("/") and folder.rstrip("/") != "s3:":
        # Slashes side by side are part of the key; a store's URL does not end with one.
        key = "/" * (len(folder) - len(folder.rstrip("/"))) + key
        folder = folder.rstrip("/")
    if not key or folder.endswith((":/", ":")):
        raise ConfigError(
            f"expected the URL of one object, received {url!r}", "End it with the object's name."
        )
    return (folder or "/", key) if slash else (".", key)


def join(url: str, *keys: str) -> str:
    """One URL below another. The last key may begin with a slash, as keys in S3 may.

    >>> join("s3://bucket/runs/", "cars-1", "run.json")
    's3://bucket/runs/cars-1/run.json'
    """
    parts = [*(part.strip("/") for part in keys[:-1]), *(part.rstrip("/") for part in keys[-1:])]
    return "/".join([url.rstrip("/"), *(part for part in parts if part)])
