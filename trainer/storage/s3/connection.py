"""Clients of boto3, and whether credentials that cannot be had now may be had later."""

import os
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
from trainer.storage.s3.faults import Kind, explain

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

CONNECTIONS = 64
CONNECT_SECONDS = 5
METADATA_SECONDS = 2.0


def connect(url: str, read_seconds: float, patience: RetryBudget) -> "tuple[boto3.Session, S3Client]":
    """A session, and a client whose every request is one attempt. Credentials are where boto3 finds them.

    An endpoint of credentials that fails is asked again within `patience`. Raises TimeoutError when that is
    spent, PermissionError where the credentials are refused, ConfigError for invalid settings.
    """
    while True:
        try:
            return _client(read_seconds)
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


def _client(read_seconds: float) -> "tuple[boto3.Session, S3Client]":
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
    if "addressing_style" in (settings.get_scoped_config().get("s3") or {}) or _is_aws(
        client.meta.endpoint_url
    ):
        return session, client
    return session, session.client("s3", config=config.merge(Config(s3={"addressing_style": "path"})))


@cache
def _models() -> Any:
    """botocore's descriptions of the protocol, read once a process: they are most of a session's cost."""
    return Session().get_component("data_loader")


def _is_aws(endpoint: str) -> bool:
    host = urlsplit(endpoint).hostname or ""
    return host.endswith((".amazonaws.com", ".amazonaws.com.cn"))
