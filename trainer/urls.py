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

    What looks like a malformed URL, such as `s3:/bucket/x`, is refused, not treated as a path.
    Raises ConfigError.

    >>> parse_url("s3://bucket/a")
    ('s3', 'bucket/a')
    >>> parse_url("./s3:/a")
    ('file', './s3:/a')
    """
    if not url.strip():
        raise ConfigError("expected a URL, received nothing", _SUPPORTED)
    if any(unicodedata.category(letter) in ("Cc", "Cs") for letter in unquote(url)):
        raise ConfigError(f"expected a URL of plain characters, received {url!r}", _SUPPORTED)
    match = _SCHEME.match(url)
    if not (match and _is_scheme(match)):
        return "file", os.path.expanduser(url)
    scheme, rest = match[1], url[match.end() :]
    complete = match[0].endswith("://") and not match[0][0].isspace()
    if complete and scheme == "s3" and rest:
        return "s3", rest
    if complete and scheme == "file" and rest.startswith("localhost/"):
        return "file", unquote(rest.removeprefix("localhost"))
    if match[0] == "file:///":
        return "file", unquote("/" + rest)
    path = "" if complete else f" For a local folder of this name, use ./{url.strip()}"
    if scheme.lower() == "s3":
        named = rest.strip("/") and not match[0].endswith(":///")
        better = f"Use s3://{rest.strip('/')}." if named else "Add the name of the bucket."
        raise ConfigError(f"expected s3://bucket/prefix, received {url!r}", better + path)
    if scheme.lower() == "file":
        raise ConfigError(f"expected file:///absolute/path, received {url!r}", "Or use the plain path.")
    raise ConfigError(f"no object store for {scheme}:// (received {url!r})", _SUPPORTED + path)


def absolute(url: str) -> str:
    """The URL with a plain path made absolute: the same for every process of this machine, in whatever
    working directory. Raises ConfigError as `parse_url` does."""
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
    return _folder_url(url).startswith(_folder_url(folder))


def beside(url: str, name: str) -> str:
    """A URL for something else next to a URL; below it where the URL is a whole bucket.

    >>> beside("s3://bucket/cars/", "run"), beside("s3://bucket", "run")
    ('s3://bucket/cars-run', 's3://bucket/run')
    """
    return f"{url.rstrip('/')}{'/' if is_bucket(url) else '-'}{name}"


def is_bucket(url: str) -> bool:
    """Whether it is all of a bucket."""
    return bool(re.fullmatch(r"s3://[^/]+/*", url))


def _folder_url(url: str) -> str:
    scheme, rest = parse_url(url)
    if scheme == "s3":
        bucket, _, prefix = rest.partition("/")
        return f"s3://{bucket}/{prefix}".rstrip("/") + "/"
    return f"file://{os.path.realpath(rest)}".rstrip("/") + "/"


def looks_like_a_url(text: str) -> bool:
    """Whether a URL was meant where only a local path can be."""
    match = _SCHEME.match(text)
    return bool(match and _is_scheme(match))


def _is_scheme(match: re.Match[str]) -> bool:
    return bool(_COMMON.fullmatch(match[1])) or (":" in match[0] and match[0].endswith("/"))
