"""Clients of boto3, and whether credentials that cannot be had now may be had later."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import ProxyHandler, Request, build_opener

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError
from botocore.session import Session

from trainer.errors import ConfigError
from trainer.storage.retry import RetryBudget
from trainer.storage.s3.certificates import check_ca_bundle
from trainer.storage.s3.faults import Kind, explain

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

CONNECTIONS = 64
CONNECT_SECONDS = 5
METADATA_SECONDS = 2.0


@dataclass(frozen=True)
class Connection:
    """`client` makes each request once. `ca_bundle` is the file of certificates that it goes by, or None for
    those of the public authorities."""

    session: boto3.Session
    client: "S3Client"
    ca_bundle: str | None


def connect(
    url: str, read_seconds: float, patience: RetryBudget, takes_checksums: Callable[[str], bool]
) -> Connection:
    """A client with credentials from where boto3 finds them.

    An endpoint of credentials that fails is asked again within `patience`. Raises TimeoutError when that is
    spent, PermissionError where the credentials are refused, ConfigError for invalid settings.

    Args:
        takes_checksums: whether the store at an endpoint takes botocore's checksums of uploads.
    """
    while True:
        try:
            return _connection(read_seconds, takes_checksums)
        except (BotoCoreError, ValueError) as error:
            fault = explain(error)
            if fault and fault.kind is Kind.RETRY:
                patience.wait(fault.cause, fault.text)
            elif fault and fault.kind is Kind.DENIED:
                raise PermissionError(f"{url}: {fault.text}") from error
            else:
                raise ConfigError(
                    f"{url}: {error}", "See AWS_ENDPOINT_URL and the AWS configuration."
                ) from error


def instance_has_credentials() -> bool:
    """Whether this machine's metadata service has credentials or fails: where it fails, botocore only says
    that there are none, as on a machine without such a service."""
    if os.environ.get("AWS_EC2_METADATA_DISABLED", "").lower() == "true":
        return False
    service = os.environ.get("AWS_EC2_METADATA_SERVICE_ENDPOINT", "http://169.254.169.254").rstrip("/")
    lifetime = {"x-aws-ec2-metadata-token-ttl-seconds": "60"}
    try:
        status, token = _ask(f"{service}/latest/api/token", "PUT", lifetime)
        if not _fails(status):
            header = {"x-aws-ec2-metadata-token": token} if status == 200 else {}
            status, role = _ask(f"{service}/latest/meta-data/iam/security-credentials/", "GET", header)
            return _fails(status) or (status == 200 and bool(role))
        return True
    except (OSError, ValueError):
        return False


def _fails(status: int) -> bool:
    return status == 429 or status >= 500


def _ask(url: str, method: str, headers: dict[str, str]) -> tuple[int, str]:
    request = Request(url, method=method, headers=headers)
    try:
        with build_opener(ProxyHandler({})).open(request, timeout=METADATA_SECONDS) as answer:
            return answer.status, answer.read(4096).decode("ascii", "replace").strip()
    except HTTPError as refusal:
        return refusal.code, ""


def _connection(read_seconds: float, takes_checksums: Callable[[str], bool]) -> Connection:
    settings = Session()
    settings.register_component("data_loader", _models())
    session = boto3.Session(botocore_session=settings)
    # Attempts are ours alone: botocore's know neither the body that breaks off nor a budget in seconds.
    config = Config(
        retries={"mode": "standard", "total_max_attempts": 1},
        max_pool_connections=CONNECTIONS,
        connect_timeout=CONNECT_SECONDS,
        read_timeout=read_seconds,
        tcp_keepalive=True,
        user_agent_extra="cars-trainer",
    )
    client = session.client("s3", config=config)
    endpoint = client.meta.endpoint_url
    ca_bundle = settings.get_config_variable("ca_bundle")
    if ca_bundle and endpoint.startswith("https:"):
        check_ca_bundle(ca_bundle)
    changes: dict[str, Any] = {}
    if "addressing_style" not in (settings.get_scoped_config().get("s3") or {}) and not _is_aws(endpoint):
        changes["s3"] = {"addressing_style": "path"}
    if not takes_checksums(endpoint):
        changes["request_checksum_calculation"] = "when_required"
    if changes:
        client = session.client("s3", config=config.merge(Config(**changes)))
    return Connection(session, client, ca_bundle)


@cache
def _models() -> Any:
    """botocore's descriptions of the protocol, read once a process: they are most of a session's cost."""
    return Session().get_component("data_loader")


def _is_aws(endpoint: str) -> bool:
    host = urlsplit(endpoint).hostname or ""
    return host.endswith((".amazonaws.com", ".amazonaws.com.cn"))
