"""A run whose store is behind TLS, with a certificate of its own, and refuses trailing checksums."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.inference.conftest import predicted, rows
from tests.run_processes import Runs
from tests.storage.tls import certificate, has_trailer, refuse_trailers, tls_proxy
from tests.training.in_process import store_of, train
from trainer.runs import layout
from trainer.storage.s3 import requests
from trainer.storage.s3.endpoints import Endpoints


def test_a_run_and_predictions(
    runs: Runs, s3: str, moto: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(requests, "ENDPOINTS", Endpoints())
    pem = certificate(tmp_path / "tls")
    with tls_proxy(moto, pem) as proxy:
        proxy.outage = refuse_trailers(411, "MissingContentLength", "You must provide the Content-Length")
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.url)
        monkeypatch.setenv("AWS_CA_BUNDLE", str(pem))
        config = runs.config("tls", run={"url": f"{s3}/run"})
        train(config)
        assert store_of(config).stat(layout.weights("best")).size
        assert store_of(config).stat(layout.FINISHED).size
        (tmp_path / "images").mkdir()
        Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(tmp_path / "images/0.png")
        predicted(f"{s3}/run", tmp_path / "images", f"{s3}/predictions")
        assert [row["image"] for row in rows(f"{s3}/predictions")] == ["0.png"]
        assert sum(map(has_trailer, proxy.headers_seen)) == 1
