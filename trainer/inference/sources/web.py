"""One file over http or https: bounded in size, time and redirects, and not from private networks."""

import socket
import ssl
import time
import urllib.error
import urllib.request
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from typing import Any

from trainer import __version__
from trainer.errors import DataError, one_line
from trainer.inference.sources.addresses import is_public
from trainer.inference.sources.reading import MAX_BYTES
from trainer.output.units import size

FETCH_SECONDS = 30.0
"""Time limit of one file, redirects included."""
MAX_REDIRECTS = 5
ATTEMPTS, PAUSE = 3, 1.0
SILENCE_SECONDS = 10.0
_BLOCK = 1 << 18
_REDIRECTS = {301, 302, 303, 307, 308}
_TRANSIENT = {408, 429, 500, 502, 503, 504}


def is_web(url: str) -> bool:
    """Whether it begins with http:// or https://."""
    return url.lower().startswith(("http://", "https://"))


def fetch(url: str, *, allow_private: bool = False) -> bytes:
    """The content of the file. Transient failures, such as 503, are retried. No proxy is used.

    Raises DataError that names the URL: for a response other than 200, an address that is not public (unless
    `allow_private`), more than `MAX_BYTES`, `FETCH_SECONDS` or `MAX_REDIRECTS`.
    """
    opener = _opener(allow_private)
    until = time.monotonic() + FETCH_SECONDS
    for attempt in range(ATTEMPTS):
        try:
            return _read(opener, url, until)
        except _TransientFailure as error:
            pause = min(PAUSE * 2**attempt, until - time.monotonic())
            if attempt == ATTEMPTS - 1 or pause <= 0:
                raise DataError(f"{url}: {error}") from None
            time.sleep(pause)
    raise AssertionError("unreachable")


class _TransientFailure(Exception):
    """A failure that a retry may fix."""


def _read(opener: urllib.request.OpenerDirector, url: str, until: float) -> bytes:
    request = urllib.request.Request(url, headers={"User-Agent": f"cars-trainer/{__version__}"})
    data = bytearray()
    try:
        with opener.open(request, timeout=SILENCE_SECONDS) as response:
            while block := response.read1(_BLOCK):
                data += block
                if len(data) > MAX_BYTES:
                    raise DataError(f"{url}: more than {size(MAX_BYTES)}")
                if time.monotonic() > until:
                    raise DataError(f"{url}: the download took more than {FETCH_SECONDS:.0f} s")
            expected = response.headers.get("Content-Length", "")
            if expected.isdecimal() and len(data) < int(expected):
                raise _TransientFailure(f"the response ended after {len(data):,} of {int(expected):,} bytes")
    except urllib.error.HTTPError as error:
        answer = f"the server responded with {error.code}"
        if error.code in _REDIRECTS:
            answer += f"; at most {MAX_REDIRECTS} redirects are followed, to http and https alone"
        if error.code in _TRANSIENT:
            raise _TransientFailure(answer) from None
        raise DataError(f"{url}: {answer}") from None
    except urllib.error.URLError as error:
        if isinstance(error.reason, ssl.SSLCertVerificationError):
            raise DataError(f"{url}: its certificate is not valid ({error.reason.verify_message})") from None
        raise _TransientFailure(f"cannot be reached ({error.reason})") from None
    except (OSError, HTTPException) as error:
        raise _TransientFailure(f"the connection broke ({one_line(error)})") from None
    except ValueError as error:
        raise DataError(f"{url}: not a valid URL ({error})") from None
    return bytes(data)


def _connect(address: tuple[str, int], timeout: Any, allow_private: bool) -> socket.socket:
    """Connects to the address of the host that was checked, however the name resolves later."""
    addresses = socket.getaddrinfo(*address, type=socket.SOCK_STREAM)
    usable = [info for info in addresses if allow_private or is_public(str(info[4][0]))]
    if not usable:
        raise DataError(
            f"{address[0]}: {addresses[0][4][0]} is an address of a private network",
            "Set allow_private to read it",
        )
    error: OSError | None = None
    for info in usable:
        try:
            return socket.create_connection((str(info[4][0]), address[1]), timeout)
        except OSError as refused:
            error = refused
    assert error
    raise error


def _opener(allow_private: bool) -> urllib.request.OpenerDirector:
    class Plain(HTTPConnection):
        def connect(self) -> None:
            self.sock = _connect((self.host, self.port), self.timeout, allow_private)

    class Secure(HTTPSConnection):
        def connect(self) -> None:
            plain = _connect((self.host, self.port), self.timeout, allow_private)
            self.sock = self._context.wrap_socket(plain, server_hostname=self.host)  # type: ignore[attr-defined]

    class Http(urllib.request.HTTPHandler):
        def http_open(self, req: urllib.request.Request) -> HTTPResponse:
            return self.do_open(Plain, req)

    class Https(urllib.request.HTTPSHandler):
        def https_open(self, req: urllib.request.Request) -> HTTPResponse:
            return self.do_open(Secure, req, context=ssl.create_default_context())

    class Redirects(urllib.request.HTTPRedirectHandler):
        max_redirections = MAX_REDIRECTS

    opener = urllib.request.OpenerDirector()
    for handler in (
        Http,
        Https,
        Redirects,
        urllib.request.HTTPDefaultErrorHandler,
        urllib.request.HTTPErrorProcessor,
    ):
        opener.add_handler(handler())
    opener.add_handler(urllib.request.UnknownHandler())
    return opener
