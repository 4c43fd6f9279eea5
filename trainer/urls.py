"""What the URL of objects looks like: `s3://bucket/prefix`, `file:///folder`, or a plain path."""

import os
import re
import unicodedata
from urllib.parse import unquote

from trainer.errors import ConfigError

_SUPPORTED = (
    "Supported: s3://bucket/prefix (any S3 server by AWS_ENDPOINT_URL), file:///path, or a plain path."
)
_SCHEME = re.compile(r"\s*([A-Za-z][A-Za-z0-9+.-]*)(:/*|//)")
_COMMON = re.compile(
    "s3[an]?|gcs?|gs|https?|s?ftp|ssh|file|hdfs|az|azure|abfss?|wasbs?|minio|oss|r2", re.IGNORECASE
)
"""Where one of these stands before a colon, a URL was meant, also without the two slashes."""


def parse_url(url: str) -> tuple[str, str]:
    """`("s3", "bucket/prefix")` or `("file", path)`.

    What looks like a URL and is none, such as `s3:/bucket/x`, is not taken for a path. Raises ConfigError.

    >>> parse_url("s3://bucket/a")
    ('s3', 'bucket/a')
    >>> parse_url("./s3:/a")
    ('file', './s3:/a')
    """
    if not url.strip():
        raise ConfigError("Expected a URL, received nothing", _SUPPORTED)
    if any(unicodedata.category(letter) in ("Cc", "Cs") for letter in unquote(url)):
        raise ConfigError(f"Expected a URL of plain characters, received {url!r}", _SUPPORTED)
    found = _SCHEME.match(url)
    if not (found and _is_scheme(found)):
        return "file", os.path.expanduser(url)
    scheme, rest = found[1], url[found.end() :]
    whole = found[0].endswith("://") and not found[0][0].isspace()
    if whole and scheme == "s3" and rest:
        return "s3", rest
    if whole and scheme == "file" and rest.startswith("localhost/"):
        return "file", unquote(rest.removeprefix("localhost"))
    if found[0] == "file:///":
        return "file", unquote("/" + rest)
    path = "" if whole else f" For a local folder of this name write ./{url.strip()}"
    if scheme.lower() == "s3":
        named = rest.strip("/") and not found[0].endswith(":///")
        better = f"Write s3://{rest.strip('/')}." if named else "Name the bucket."
        raise ConfigError(f"Expected s3://bucket/prefix, received {url!r}", better + path)
    if scheme.lower() == "file":
        raise ConfigError(f"Expected file:///absolute/path, received {url!r}", "Or write the plain path.")
    raise ConfigError(f"No object store for {scheme}:// (received {url!r})", _SUPPORTED + path)


def absolute(url: str) -> str:
    """The same place for every process of this machine, whatever its working directory: a plain path becomes
    absolute. Raises ConfigError as `parse_url` does."""
    _, path = parse_url(url)
    return url if looks_like_a_url(url) else os.path.abspath(path)


def may_be_typed(url: str, typed: str) -> bool:
    """Whether `typed` may have named `url`, which is absolute: of a relative path, which older runs keep,
    nobody knows what it was relative to.

    >>> may_be_typed("/home/me/runs/a", "../runs/a")
    True
    """
    if absolute(typed) == url:
        return True
    if looks_like_a_url(typed) or os.path.isabs(os.path.expanduser(typed)):
        return False
    known = [part for part in os.path.normpath(typed).split("/") if part not in (".", "..")]
    return not looks_like_a_url(url) and url.split("/")[-len(known) :] == known


def lies_in(url: str, folder: str) -> bool:
    """Whether one URL is another or below it; links of this machine are followed.

    >>> lies_in("s3://bucket/cars/", "s3://bucket/cars"), lies_in("s3://bucket/cars-2", "s3://bucket/cars")
    (True, False)
    """
    return _place(url).startswith(_place(folder))


def beside(url: str, name: str) -> str:
    """A place for something else near a URL: in a bucket that is all of it there is only one below.

    >>> beside("s3://bucket/cars/", "run"), beside("s3://bucket", "run")
    ('s3://bucket/cars-run', 's3://bucket/run')
    """
    return f"{url.rstrip('/')}{'/' if is_bucket(url) else '-'}{name}"


def is_bucket(url: str) -> bool:
    """Whether it is all of a bucket."""
    return bool(re.fullmatch(r"s3://[^/]+/*", url))


def _place(url: str) -> str:
    scheme, rest = parse_url(url)
    if scheme == "s3":
        bucket, _, prefix = rest.partition("/")
        return f"s3://{bucket}/{prefix.strip('/')}".rstrip("/") + "/"
    return f"file://{os.path.realpath(rest)}".rstrip("/") + "/"


def looks_like_a_url(text: str) -> bool:
    """Whether a URL was meant where only a local path can be."""
    found = _SCHEME.match(text)
    return bool(found and _is_scheme(found))


def _is_scheme(found: re.Match[str]) -> bool:
    return bool(_COMMON.fullmatch(found[1])) or (":" in found[0] and found[0].endswith("/"))
