from pathlib import Path

import pytest


@pytest.fixture(params=["file", "s3", "strict_s3"])
def store_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Here also on a server that checks signatures, where there is one."""
    if request.param == "file":
        return f"file://{tmp_path}/store"
    return f"{request.getfixturevalue(request.param)}/some/prefix"
