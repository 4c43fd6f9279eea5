"""These run on the cluster that KUBECONFIG points to, and are skipped where there is none.

TRAINER_TEST_IMAGE names the image under test (default cars-trainer:VERSION), TRAINER_TEST_PULL_POLICY how it
is pulled (default IfNotPresent). Everything happens in a namespace of its own, which is deleted afterwards.
"""

import os
import shutil
from collections.abc import Iterator

import boto3
import pytest

from scripts.quickstart import write_digits

from .stack import Stack, development_stack


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """The development stack with the digits prepared in it, and held-out photos, one of them unreadable."""
    if not os.environ.get("KUBECONFIG"):
        pytest.skip("KUBECONFIG is not set: no cluster to try the charts on")
    if not shutil.which("kubectl"):
        pytest.skip("kubectl is not on the PATH")
    folder = tmp_path_factory.mktemp("cluster")
    with development_stack(folder) as made:
        images = write_digits(folder / "digits")
        made.trainer("prepare", str(images / "train"), "s3://cars/digits", "--validation", "0.1")
        store = client(made)
        for path in sorted((images / "held-out").rglob("*.png"))[::4]:
            store.upload_file(str(path), "cars", f"photos/{path.parent.name}/{path.name}")
        store.put_object(Bucket="cars", Key="photos/0/broken.png", Body=b"not an image")
        yield made


def client(stack: Stack):
    """boto3's client of the stack's store."""
    return boto3.client(
        "s3",
        endpoint_url=stack.environment["AWS_ENDPOINT_URL"],
        aws_access_key_id=stack.environment["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=stack.environment["AWS_SECRET_ACCESS_KEY"],
        region_name="us-east-1",
    )
