"""The official client, set up once for everything that asks the Kubernetes API."""

import ssl
from typing import Any


def api_client(configuration: Any) -> Any:
    """An `ApiClient` that tries again once, and that accepts every certificate that kubectl accepts.

    From 3.13 Python refuses CAs without the extensions that RFC 5280 leaves optional in a self-signed one, as
    those of EKS are (https://github.com/kubernetes-client/python/issues/2394).
    """
    from kubernetes import client
    from urllib3.util.ssl_ import create_urllib3_context

    configuration.retries = 1
    api = client.ApiClient(configuration)
    context = create_urllib3_context()
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    api.rest_client.pool_manager.connection_pool_kw["ssl_context"] = context
    return api
