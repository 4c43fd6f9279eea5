"""The official Kubernetes client, set up for all callers."""

import ssl
from typing import Any


def api_client(configuration: Any) -> Any:
    """An `ApiClient` that retries once, and that accepts every certificate that kubectl accepts.

    Python 3.13 and later reject CAs without extensions that RFC 5280 makes optional in self-signed ones, such
    as those of EKS (https://github.com/kubernetes-client/python/issues/2394).
    """
    from kubernetes import client
    from urllib3.util.ssl_ import create_urllib3_context

    configuration.retries = 1
    api = client.ApiClient(configuration)
    context = create_urllib3_context()
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    api.rest_client.pool_manager.connection_pool_kw["ssl_context"] = context
    return api
