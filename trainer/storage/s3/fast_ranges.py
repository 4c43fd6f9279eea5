"""Small ranges of objects for less than half of the processor time: signed by botocore, and sent by urllib3
without botocore's models, events and parsers.

It has no retries and no errors: what does not arrive at once and as expected is requested again in full.
"""

import logging
import re
import time
from functools import cached_property
from typing import Any
from urllib.parse import quote, urlsplit
from urllib.request import getproxies, proxy_bypass

import urllib3
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.httpsession import get_cert_path

from trainer.errors import one_line
from trainer.storage.s3.connection import CONNECTIONS, Connection

QUICK_BYTES = 1 << 20
FIRST_BYTE_SECONDS = 5.0
"""The limit for connecting, for each silence of the server, and for the body; see `FastRangeReader`."""
MAX_CONSECUTIVE_FAILURES = 3
"""Failed requests in a row after which it pauses."""
PAUSE_SECONDS = 60.0

_DOTS = re.compile(r"(^|/)\.\.?(/|$)")
"""Parts of a key that urllib3 would take out of a URL."""

log = logging.getLogger(__name__)


class FastRangeReader:
    """Ranges from one bucket. Safe to use from several threads.

    Args:
        connection: with the credentials, the address and the certificates to use.
        budget: seconds of a whole operation, of which at most a quarter is spent here on each wait.
    """

    def __init__(self, connection: Connection, bucket: str, budget: float) -> None:
        self._session, self._client = connection.session, connection.client
        self._ca_bundle = connection.ca_bundle or get_cert_path(True)
        self._bucket = bucket
        self._seconds = min(FIRST_BYTE_SECONDS, budget / 4)
        self._misses, self._resumes = 0, 0.0

    def get_range(self, key: str, start: int, stop: int, etag: str) -> bytes | None:
        """Bytes [start, stop) of the object of this etag; None where they did not arrive as expected."""
        if self._misses >= MAX_CONSECUTIVE_FAILURES and time.monotonic() < self._resumes:
            return None
        if _DOTS.search(key):
            return None
        try:
            data = self._ask(key, start, stop, etag)
        except Exception as error:  # requested again with retries, which report the reason
            self._misses += 1
            self._resumes = time.monotonic() + PAUSE_SECONDS
            if self._misses == MAX_CONSECUTIVE_FAILURES:
                log.warning(
                    "s3://%s: %d fast reads in a row failed (%s); reading without them, trying again every "
                    "%.0f s",
                    *(self._bucket, MAX_CONSECUTIVE_FAILURES, one_line(error), PAUSE_SECONDS),
                )
            return None
        self._misses = 0
        return data

    def _ask(self, key: str, start: int, stop: int, etag: str) -> bytes | None:
        """None for an object that is missing, shorter, or another version. Raises what else stops it."""
        request = AWSRequest("GET", self._base + quote(key, safe="/~"))
        request.headers["Range"] = f"bytes={start}-{stop - 1}"
        request.headers["User-Agent"] = "cars-trainer"
        credentials = self._credentials.get_frozen_credentials()
        S3SigV4Auth(credentials, "s3", self._client.meta.region_name).add_auth(request)
        headers = dict(request.headers.items())
        answer = self._pool.request(
            "GET", str(request.url), headers=headers, decode_content=False, preload_content=False
        )
        data, until = bytearray(), time.monotonic() + self._seconds
        try:
            if answer.status in (404, 416):
                return None
            if answer.status not in (200, 206):
                raise OSError(f"answered {answer.status}")
            if answer.headers.get("ETag", "").strip('"') != etag:
                return None
            while block := answer.read1():
                data += block
                if len(data) > stop - start or time.monotonic() > until:
                    raise OSError("too many bytes, or too slow")
            answer.release_conn()
            return bytes(data) if len(data) == stop - start else None
        finally:
            answer.close()

    @cached_property
    def _credentials(self) -> Any:
        return self._session.get_credentials()

    @cached_property
    def _base(self) -> str:
        """The URL before the key, as the client addresses the bucket: in the path, or as the host's name."""
        url = self._client.generate_presigned_url("get_object", {"Bucket": self._bucket, "Key": "key"})
        return url.partition("?")[0].removesuffix("key")

    @cached_property
    def _pool(self) -> urllib3.PoolManager:
        """Raises OSError where a proxy is to be used."""
        found = urlsplit(self._client.meta.endpoint_url)
        if found.scheme in getproxies() and not proxy_bypass(found.hostname or ""):
            raise OSError("behind a proxy")
        return urllib3.PoolManager(
            maxsize=CONNECTIONS,
            retries=False,
            timeout=urllib3.Timeout(connect=self._seconds, read=self._seconds),
            cert_reqs="CERT_REQUIRED",
            ca_certs=self._ca_bundle,
        )
