"""Pods with addresses and names of their own on one machine: network namespaces on a bridge.

Needs root and iproute2 (`available`). Nothing of it is seen outside: the bridge has a namespace too.
"""

import os
import shutil
import subprocess
from pathlib import Path

_ETC = Path("/etc/netns")


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True, text=True)


def available() -> str:
    """ "" where namespaces can be made, else why not."""
    if os.getuid() != 0 or not shutil.which("ip"):
        return "network namespaces need root and iproute2"
    name = f"trainer-probe-{os.getpid()}"
    made = subprocess.run(["ip", "netns", "add", name], capture_output=True, text=True, check=False)
    if made.returncode:
        return f"no network namespaces here: {made.stderr.strip()}"
    ip("netns", "del", name)
    return ""


class Network:
    """Namespaces of one subnet, 10.77.0.0/24 or fd77::/64 alone, and the names that each of them knows."""

    def __init__(self, *, ipv6: bool = False) -> None:
        self._subnet, self._bits = ("fd77::", 64) if ipv6 else ("10.77.0.", 24)
        self._prefix = f"trainer-{os.getpid()}"
        self._hub = f"{self._prefix}-hub"
        self._spaces: list[str] = []
        self._links = 0
        self._names: dict[str, str] = {}
        self._own: dict[str, str] = {}
        self._add_namespace(self._hub)
        ip("-n", self._hub, "link", "add", "bridge", "type", "bridge")
        ip("-n", self._hub, "link", "set", "bridge", "up")

    def add(self, name: str, last: int) -> str:
        """A namespace with the subnet's address `last` -> its id."""
        space = f"{self._prefix}-{name}"
        self._add_namespace(space)
        self._links += 1
        port = f"port{self._links}"
        ip("-n", self._hub, "link", "add", port, "type", "veth", "peer", "name", "eth0", "netns", space)
        ip("-n", self._hub, "link", "set", port, "master", "bridge", "up")
        address = f"{self._subnet}{last}"
        ip("-n", space, "address", "add", f"{address}/{self._bits}", "dev", "eth0", "nodad")
        ip("-n", space, "link", "set", "eth0", "up")
        self._own[space] = address
        self._write_names(space)
        return space

    def name(self, name: str, last: int) -> None:
        """From now on everybody finds `name` at the address `last`."""
        self._names[name] = f"{self._subnet}{last}"
        for space in self._spaces:
            self._write_names(space)

    def cut(self, space: str) -> None:
        """Nothing gets in or out any more, and nobody is told."""
        ip("-n", space, "link", "set", "eth0", "down")

    def mend(self, space: str) -> None:
        ip("-n", space, "link", "set", "eth0", "up")

    def inside(self, space: str) -> list[str]:
        """The words before a command that run it in there, as on a host; it keeps the process id."""
        as_host = ["unshare", "--uts", "sh", "-c", 'hostname "$0" && exec "$@"', space]
        return ["ip", "netns", "exec", space, *as_host]

    def close(self) -> None:
        for space in self._spaces:
            subprocess.run(["ip", "netns", "del", space], check=False, capture_output=True)
            shutil.rmtree(_ETC / space, ignore_errors=True)
        if _ETC.is_dir() and not any(_ETC.iterdir()):
            _ETC.rmdir()

    def _add_namespace(self, space: str) -> None:
        ip("netns", "add", space)
        self._spaces.append(space)
        (_ETC / space).mkdir(parents=True)
        self._write_names(space)
        ip("-n", space, "link", "set", "lo", "up")

    def _write_names(self, space: str) -> None:
        names = {**self._names, **({space: self._own[space]} if space in self._own else {})}
        lines = ["127.0.0.1 localhost", *(f"{address} {name}" for name, address in names.items())]
        # In place: this very file is mounted over /etc/hosts of what runs inside.
        (_ETC / space / "hosts").write_text("\n".join(lines) + "\n")
