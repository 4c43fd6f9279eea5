"""What Horovod asks of a host's network, checked before it would abort."""

import socket

from trainer.errors import ConfigError


def check_own_name(coordinator: str | None) -> None:
    """This host's own name has to resolve, to an address that the other pods reach.

    Horovod 0.28.1 binds there, whatever HOROVOD_GLOO_IFACE says (`gloo_context.cc`, InitializeForProcessSet),
    and aborts the process where it cannot.

    Args:
        coordinator: pod 0's name or address, None on one machine.

    Raises:
        ConfigError: it does not resolve, or to a loopback address while the coordinator is elsewhere.
    """
    name = socket.gethostname()
    address = _resolve(name)
    if address is None:
        raise ConfigError(
            f"this host's own name {name!r} does not resolve, which Horovod needs", "Add it to /etc/hosts"
        )
    if coordinator and _is_loopback(address) and not _is_loopback(_resolve(coordinator) or ""):
        raise ConfigError(
            f"this host's own name {name!r} resolves to {address}, where other pods do not reach it",
            "Let it resolve to the pod's address, in /etc/hosts",
        )


def _resolve(name: str) -> str | None:
    try:
        return str(socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)[0][4][0])
    except OSError:
        return None


def _is_loopback(address: str) -> bool:
    return address.startswith("127.") or address == "::1"
