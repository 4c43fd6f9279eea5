"""Which pod this is, and how many there are."""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from trainer.errors import ConfigError

PORT = 29400
"""Where pod 0's coordinator listens, unless the environment says otherwise."""


@dataclass(frozen=True)
class Pods:
    """This pod among several.

    Attributes:
        index: this pod's number; pod 0 coordinates.
        count: how many pods the gang shall have, as far as is known at the start.
        coordinator: pod 0's name or IPv4 address, the same in every pod.
        port: where pod 0's coordinator listens.
        wanted: how many pods the gang shall have by now; pod 0 asks every few seconds, in a thread.
    """

    index: int
    count: int
    coordinator: str
    port: int = PORT
    wanted: Callable[[], int] | None = None


def from_environment(
    environment: Mapping[str, str] = os.environ, *, wanted: Callable[[], int] | None = None
) -> Pods | None:
    """TRAINER_POD_INDEX, TRAINER_PODS and TRAINER_COORDINATOR (`host` or `host:port`); None without the last.

    Raises ConfigError for a number that is none.
    """
    coordinator = environment.get("TRAINER_COORDINATOR")
    if not coordinator:
        return None
    host, _, port = coordinator.partition(":")
    return Pods(
        index=_number(environment, "TRAINER_POD_INDEX", 0),
        count=_number(environment, "TRAINER_PODS", 1),
        coordinator=host,
        port=_number({"TRAINER_COORDINATOR": port}, "TRAINER_COORDINATOR", 1) if port else PORT,
        wanted=wanted,
    )


def _number(environment: Mapping[str, str], name: str, least: int) -> int:
    text = environment.get(name, "")
    if not text.isdecimal() or int(text) < least:
        raise ConfigError(f"{name}: expected a whole number from {least}, received {text!r}")
    return int(text)
