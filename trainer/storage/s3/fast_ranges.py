"""Small ranges of objects for less than half of the processor time: signed by botocore, and sent by urllib3
without botocore's models, events and parsers.

It knows no retries and no errors: what does not come at once as it should is asked for again in full.
"""

import logging
import os
import time
from functools import cached_property
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit
from urllib.request import getproxies, proxy_bypass

import boto3
import urllib3
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.httpsession import get_cert_path

from trainer.errors import one_line
from trainer.storage.s3.connection import CONNECTIONS

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

QUICK_BYTES = 1 << 20
FIRST_BYTE_SECONDS = 5.0
"""For connecting, for each silence of the server, and for the body; or less, see `FastRangeReader`."""
MAX_CONSECUTIVE_FAILURES = 3
"""Failed requests in a row after which it pauses."""
PAUSE_SECONDS = 60.0

log = logging.getLogger(__name__)


class FastRangeReader:
    """Ranges from one bucket. Safe to use from several threads.

    Args:
        budget: seconds of a whole operation, of which at most a quarter is spent here on each wait.
    """

    def __init__(self, session: boto3.Session, client: "S3Client", bucket: str, budget: float) -> None:
        self._session, self._client, self._bucket = session, client, bucket
        self._seconds = min(FIRST_BYTE_SECONDS, budget / 4)
        self._misses, self._resumes = 0, 0.0

    def get_range(self, key: str, start: int, stop: int, etag: str) -> bytes | None:
        """Bytes [start, stop) of the object of this etag; None where they did not come as they should."""
        if self._misses >= MAX_CONSECUTIVE_FAILURES and time.monotonic() < self._resumes:
            return None
        try:
            data = self._ask(key, start, stop, etag)
        except Exception as error:  # asked for again, where the reason is found out and said
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
        """None for an object that is gone, shorter, or another one. Raises whatever stops it otherwise."""
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
                    raise OSError("too much, or too slow")
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
            ca_certs=os.environ.get("AWS_CA_BUNDLE") or get_cert_path(True),
        )
