"""Which pod this is, how many there are, and whether they reach each other."""

import os
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from trainer.errors import ConfigError
from trainer.gang.network.auth import GangKey

POD_INDEX = "TRAINER_POD_INDEX"
PODS = "TRAINER_PODS"
COORDINATOR = "TRAINER_COORDINATOR"
NODE = "TRAINER_NODE"
"""The node of this pod, which the chart sets from spec.nodeName."""
PORT = 29400
"""The port of pod 0's coordinator, unless the environment names another one."""


@dataclass(frozen=True)
class Pods:
    """This pod among several.

    Attributes:
        index: this pod's number; pod 0 coordinates first.
        count: how many pods the gang is to have, as known at the start.
        coordinator: pod 0's name or address, the same in every pod.
        port: the port of pod 0's coordinator.
        key: the key that the pods of the gang share, with which they sign their messages.
        wanted_pods: reads how many pods the gang should have now; pod 0 calls it every few seconds, in a
            thread.
    """

    index: int
    count: int
    coordinator: str
    port: int = PORT
    wanted_pods: Callable[[], int] | None = None
    key: GangKey = field(default_factory=GangKey)


def from_environment(
    environment: Mapping[str, str] = os.environ, *, wanted_pods: Callable[[], int] | None = None
) -> Pods | None:
    """Reads TRAINER_POD_INDEX, TRAINER_PODS and TRAINER_COORDINATOR (also `host:port`, `[IPv6]:port`).

    None without a coordinator. Raises ConfigError for an invalid number.
    """
    coordinator = environment.get(COORDINATOR)
    if not coordinator:
        return None
    host, port = split_address(coordinator)
    return Pods(
        index=whole_number(environment, POD_INDEX, 0),
        count=whole_number(environment, PODS, 1),
        coordinator=host,
        port=whole_number({COORDINATOR: port}, COORDINATOR, 1) if port else PORT,
        wanted_pods=wanted_pods,
        key=GangKey.from_environment(environment),
    )


def split_address(text: str) -> tuple[str, str]:
    """`host:port` -> both; the port is "" if it is missing. An IPv6 address with a port has brackets."""
    if text.startswith("["):
        host, _, rest = text[1:].partition("]")
        return host, rest.removeprefix(":")
    if text.count(":") > 1:
        return text, ""
    host, _, port = text.partition(":")
    return host, port


def check_own_name(coordinator: str | None) -> None:
    """Checks what Horovod requires of a host: its name resolves to an address that the other pods can reach.

    Horovod 0.28.1 binds to it, whatever HOROVOD_GLOO_IFACE is (`gloo_context.cc`, InitializeForProcessSet),
    and aborts the process if it cannot.

    Args:
        coordinator: pod 0's name or address, None on one machine.

    Raises:
        ConfigError: the name does not resolve, or resolves to a loopback address while the coordinator is
            elsewhere.
    """
    name = socket.gethostname()
    address = _resolve(name)
    if address is None:
        raise ConfigError(
            f"the host name {name!r} does not resolve, as Horovod requires", "Add it to /etc/hosts"
        )
    if coordinator and _is_loopback(address) and not _is_loopback(_resolve(coordinator) or ""):
        raise ConfigError(
            f"the host name {name!r} resolves to {address}, which other pods cannot reach",
            "Map it to the pod's address in /etc/hosts",
        )


def whole_number(environment: Mapping[str, str], name: str, least: int) -> int:
    """The value of an environment variable. Raises ConfigError if it is not a whole number >= `least`."""
    text = environment.get(name, "")
    if not text.isdecimal() or int(text) < least:
        raise ConfigError(f"{name}: expected a whole number >= {least}, received {text!r}")
    return int(text)


def _resolve(name: str) -> str | None:
    try:
        return str(socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)[0][4][0])
    except OSError:
        return None


def _is_loopback(address: str) -> bool:
    return address.startswith("127.") or address == "::1"
