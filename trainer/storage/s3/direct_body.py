"""Bodies of answers, received straight into the caller's memory."""

import http.client
from typing import Any


class DirectBody:
    """Stands for urllib3's answer inside botocore's body: what comes in one receive is given at once.

    urllib3 waits for as many bytes as it was asked for, which a trickle never brings, and copies them.
    """

    def __init__(self, answer: Any) -> None:
        self._answer = answer
        self._response: http.client.HTTPResponse = answer._fp

    def __getattr__(self, name: str) -> Any:
        return getattr(self._answer, name)

    def readinto(self, into: memoryview) -> int:
        """Receive once, up to `into`; 0 at the end. urllib3's errors, as when a body breaks off."""
        with self._answer._error_catcher():  # it also gives the connection back at the body's end
            response = self._response
            if response.isclosed():
                return 0
            left = response.length or 0
            count = response.fp.readinto1(into[:left]) if left else 0
            if count < left and not count:
                raise http.client.IncompleteRead(b"", left)
            response.length = left - count
            if not response.length:
                response._close_conn()  # type: ignore[attr-defined]
            return count


def receive_directly(body: Any) -> None:
    """Let botocore's `body` take what its socket gives. A chunked one stays as it is."""
    response = getattr(body._raw_stream, "_fp", None)
    if isinstance(response, http.client.HTTPResponse) and not response.chunked and response.length:
        body._raw_stream = DirectBody(body._raw_stream)
