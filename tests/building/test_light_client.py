"""The wheel without an extra: what a laptop installs, to prepare data and to look after runs."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cluster.fake import FakeCluster, job, pod, serving
from tests.run_processes import Runs
from tests.training.in_process import train
from trainer.cli.first_sign import LONG
from trainer.output.html.page_scripts import OWN, VENDOR
from trainer.output.html.render import TEMPLATES

ROOT = Path(__file__).parents[2]


CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The command `trainer` of an environment with the wheel and the locked versions of what it needs."""
    environment = tmp_path_factory.mktemp("client") / "environment"
    version = re.search(r"^uv_version=(.*)$", (ROOT / "scripts/env").read_text(), re.MULTILINE)
    assert version
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "cars-trainer"
    done = subprocess.run(
        [
            cache / f"uv-{version[1]}/bin/uv",
            "sync",
            "--quiet",
            "--locked",
            "--no-default-groups",
            "--no-editable",
            # uv keeps the wheel of a folder while its pyproject.toml stays the same.
            "--reinstall-package",
            "cars-trainer",
        ],
        cwd=ROOT,
        env={
            **({"SSL_CERT_FILE": str(CERTIFICATES)} if CERTIFICATES.exists() else {}),
            **os.environ,
            "UV_PROJECT_ENVIRONMENT": str(environment),
            "UV_PYTHON": sys.executable,
        },
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return environment / "bin" / "trainer"


class Said:
    """What `trainer WORDS` printed, and how it ended."""

    def __init__(self, client: Path, *words: str | Path, **environment: str) -> None:
        done = subprocess.run(
            [client, *words], env={**os.environ, **environment}, capture_output=True, text=True, timeout=60
        )
        self.code, self.output, self.errors = done.returncode, done.stdout, done.stderr


def said(client: Path, *words: str | Path, **environment: str) -> str:
    done = Said(client, *words, **environment)
    assert done.code == 0, done.errors
    return done.output


def test_it_brings_neither_tensorflow_nor_what_only_training_needs(client: Path):
    installed = {
        folder.name.partition("-")[0]
        for folder in client.parent.parent.glob("lib/*/site-packages/*.dist-info")
    }
    assert "cars_trainer" in installed
    assert not installed & {"tensorflow", "tensorflow_cpu", "keras", "horovod", "scikit_learn", "scipy"}


def test_its_types_can_be_used_by_others(client: Path):
    """PEP 561."""
    assert list(client.parent.parent.glob("lib/*/site-packages/trainer/py.typed"))


def test_it_brings_every_template_script_and_licence(client: Path):
    (installed,) = client.parent.parent.glob("lib/*/site-packages/trainer")
    folders = (TEMPLATES, OWN, VENDOR)
    files = [path.relative_to(ROOT / "trainer") for folder in folders for path in folder.iterdir()]
    for name in ("templates/style.css", "scripts/matrix.js", "vendor/plot.min.js", "vendor/plot.LICENSE"):
        assert Path("output/html", name) in files
    assert [path for path in files if not (installed / path).exists()] == []


def test_datasets(client: Path, folders: Path, tmp_path: Path):
    assert "image       8 x 8 x 3" in said(
        client, "prepare", folders, tmp_path / "data", "--validation", "0.25"
    )
    assert "cow        3           1" in said(client, "inspect", tmp_path / "data")
    assert "digits" in said(client, "recipes")
    assert "lab-cnn" in said(client, "recipes", "digits")


def test_runs(client: Path, runs: Runs):
    train(config := runs.config("one"))
    run = config.parent / "run"
    assert "finished" in said(client, "runs", run.parent)
    assert "intact" in said(client, "verify", run)
    said(client, "weights", run, run.parent / "mine.weights.h5")
    assert (run.parent / "mine.weights.h5").read_bytes() == (run / "weights/best.weights.h5").read_bytes()


def test_releases_on_kubernetes(client: Path, tmp_path: Path):
    cluster = FakeCluster(jobs=[job(Complete="")], pods=[pod(0, "Succeeded"), pod(1, "Succeeded")])
    cluster.config_maps = {"cars-1-1234": {"run.yaml": f"run: {{url: file://{tmp_path}/run}}\n"}}
    cluster.logs = {"cars-1-0-a": ["2026-11-20T12:00:00Z epoch 1"]}
    with serving(cluster, tmp_path) as kubeconfig:
        where = {"KUBECONFIG": str(kubeconfig)}
        assert "finished" in said(client, "status", "cars-1", **where)
        assert said(client, "logs", "cars-1", **where) == "epoch 1\n"
        said(client, "wait", "cars-1", **where)


def test_this_machine(client: Path, tmp_path: Path):
    found = said(client, "doctor", tmp_path / "store")
    assert "tensorflow          warning  not installed" in found
    assert "write if absent     ok       supported" in found
    assert said(client, "--version").startswith("trainer ")


@pytest.mark.parametrize("command", ["train", "supervise", "predict"])
def test_what_needs_tensorflow_names_the_extra(client: Path, digits: str, tmp_path: Path, command: str):
    words = {
        "predict": [
            "--run",
            f"{tmp_path}/run",
            "--input",
            f"{tmp_path}/images",
            "--output",
            f"{tmp_path}/out",
        ]
    }
    training = ["--recipe", "digits", "--set", f"data.url={digits}", "--set", f"run.url={tmp_path}/run"]
    done = Said(client, command, *words.get(command, training))
    assert done.code == 64
    assert "pip install 'cars-trainer[cpu]'" in done.errors
    *log, error = done.errors.splitlines()
    assert error.startswith("trainer: error: this command needs ")
    assert all(line.endswith((LONG[command], "loading TensorFlow")) for line in log)
    assert not (tmp_path / "run").exists()
