"""Requests and responses of the gang's HTTP servers."""

import ipaddress
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

TEXT = "text/plain; charset=utf-8"
MAX_CONNECTIONS = 4096
MAX_CONNECTIONS_OF_ONE_CLIENT = 256


@dataclass(frozen=True)
class Request:
    """`path` has no query; `client` is the sender's address, in dotted form for IPv4."""

    method: str
    path: str
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    client: str = ""


@dataclass(frozen=True)
class Response:
    """`on_sent` is called once the answer is written."""

    status: int = 200
    body: bytes = b""
    content_type: str = TEXT
    headers: Mapping[str, str] = field(default_factory=dict)
    on_sent: Callable[[], None] | None = None


def plain_address(address: str) -> str:
    """The address without an IPv4-mapped prefix: 10.0.0.7 for ::ffff:10.0.0.7."""
    mapped = ipaddress.IPv6Address(address.partition("%")[0]).ipv4_mapped if ":" in address else None
    return str(mapped) if mapped else address
