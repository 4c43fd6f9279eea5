"""What this process has learnt about the servers that it spoke to."""

import threading
from enum import Enum, auto


class Fact(Enum):
    ANSWERED = auto()
    """It answers at its address."""
    NO_CONDITIONS = auto()
    """It refuses If-None-Match and If-Match on a PUT."""
    NO_CHECKSUMS = auto()
    """It refuses uploads with the checksums that botocore adds by default."""


class Endpoints:
    """Facts by a server's URL. Safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: set[tuple[str, Fact]] = set()

    def learn(self, endpoint: str, fact: Fact) -> bool:
        """Whether it is news."""
        with self._lock:
            news = (endpoint, fact) not in self._known
            self._known.add((endpoint, fact))
            return news

    def knows(self, endpoint: str, fact: Fact) -> bool:
        return (endpoint, fact) in self._known
