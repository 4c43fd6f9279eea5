"""A process that serves its own metrics."""

import os

from prometheus_client import start_http_server

from trainer.errors import ConfigError
from trainer.observability.metric_names import MULTIPROC_FOLDER

_served: set[int] = set()


def serve(port: int | None) -> int | None:
    """Serves this process's metrics, unless a supervisor does -> the port; once, also for several runs of a
    process. Raises ConfigError if it is taken."""
    if port is None or MULTIPROC_FOLDER in os.environ:
        return None
    if port in _served:
        return port
    try:
        server, _ = start_http_server(port)
    except OSError as error:
        raise ConfigError(
            f"metrics.port {port}: {error.strerror}", "Choose a free port, or 0 for any"
        ) from None
    _served.add(int(server.server_port))
    return int(server.server_port)
