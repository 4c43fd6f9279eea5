"""Ctrl-C and SIGTERM in every command, at any moment: its exit code, one line, nothing half-written."""

import json
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.commands import training
from tests.interrupted import send, start, temporary_files, wait_for_handlers
from tests.test_invalid import COMMANDS
from trainer.cli.first_sign import LONG
from trainer.config import load
from trainer.interrupts import RESUMABLE
from trainer.runs.claim import claim_folder
from trainer.storage import open_store
from trainer.training.run_plan import make_plan

SIGNALS = (signal.SIGINT, signal.SIGTERM)


def code_of(command: str, number: int) -> int:
    """75 where the work goes on when it is started again, else what a shell shows for the signal."""
    return 75 if command in RESUMABLE else 128 + number


@pytest.fixture
def silent() -> Iterator[tuple[str, socket.socket]]:
    """The URL of a server that takes connections and never answers."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen(50)
        server.settimeout(60)
        yield f"http://127.0.0.1:{server.getsockname()[1]}", server


@pytest.fixture
def arguments(tmp_path: Path, folders: Path, silent: tuple[str, socket.socket]) -> dict[str, list[str]]:
    """Every command with arguments that make it ask the silent server."""
    kubeconfig = tmp_path / "kubeconfig"
    context = {"cluster": "c", "user": "u"}
    kubeconfig.write_text(
        json.dumps(
            {
                "clusters": [{"name": "c", "cluster": {"server": silent[0]}}],
                "users": [{"name": "u", "user": {}}],
                "contexts": [{"name": "x", "context": context}],
                "current-context": "x",
            }
        )
    )
    url = "s3://bucket/x"
    places = ["--run", url, "--input", url, "--output", url]
    run = training(url, "s3://bucket/run")
    return {
        "prepare": ["prepare", str(folders), url],
        "inspect": ["inspect", url],
        "index": ["index", url],
        "train": run,
        "supervise": ["supervise", *run[1:], "--ranks", "1"],
        "predict": ["predict", *places],
        "evaluate": ["evaluate", url],
        "report": ["report", url],
        "log": ["log", url],
        "augment": ["augment", "--set", f"data.url={url}", "--output", f"{tmp_path}/x.png"],
        "compare": ["compare", url],
        "doctor": ["doctor", url],
        "weights": ["weights", url, str(tmp_path)],
        "runs": ["runs", url],
        "verify": ["verify", url],
        "status": ["status"],
        "logs": ["logs", "x"],
        "wait": ["wait", "x"],
        "recipes": ["recipes"],
    }


@pytest.mark.parametrize("command", COMMANDS)
def test_while_a_server_does_not_answer(
    command: str, arguments: dict[str, list[str]], silent: tuple[str, socket.socket], tmp_path: Path, s3: str
):
    if command in ("recipes", "model"):
        pytest.skip("asks no server")
    number = SIGNALS[list(COMMANDS).index(command) % 2]  # the other one in the long test
    before = sorted(tmp_path.rglob("*"))
    process = start(*arguments[command], AWS_ENDPOINT_URL=silent[0], KUBECONFIG=str(tmp_path / "kubeconfig"))
    connection, _ = silent[1].accept()
    code, output, errors = send(process, number)
    connection.close()
    again = ". Restart it to resume" if command in RESUMABLE else ""
    assert (code, output) == (code_of(command, number), "")
    *first, interrupted = errors.splitlines()
    assert interrupted == f"trainer: error: interrupted{again}"
    assert [line.partition(" ")[2] for line in first] == ([LONG[command]] if command in LONG else [])
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("number", SIGNALS)
@pytest.mark.parametrize("command", ["recipes", "train"])
def test_while_python_still_imports(command: str, number: int):
    for _ in range(2):
        process = start(command, "--help")
        wait_for_handlers(process)
        code, output, errors = send(process, number)
        if code or errors:  # else it was done
            assert (code, output) == (code_of(command, number), "")
            assert len(errors.splitlines()) == 1
            assert errors.startswith("trainer: error: interrupted")


def test_a_signal_that_is_ignored_stays_ignored():
    """As under nohup, and as SIGINT in a shell's background."""
    code = (
        "import os, signal, sys; signal.signal(signal.SIGINT, signal.SIG_IGN)\n"
        "from trainer import interrupts; interrupts.install(['recipes'])\n"
        "os.kill(os.getpid(), signal.SIGINT); sys.exit(7)"
    )
    done = subprocess.run(["python3", "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (7, "")


BUSY = "import hashlib; print('busy', flush=True); hashlib.pbkdf2_hmac('sha256', b'', b'', 2_000_000_000)"
"""Minutes in native code, which Python's handlers wait for."""


@pytest.mark.parametrize("number", SIGNALS)
@pytest.mark.parametrize("block", ["", "with interrupts.unwinding():\n "], ids=["plain", "unwinding"])
def test_native_code_does_not_keep_it_from_ending(number: int, block: str):
    """Where something has to be cleaned up, a second signal ends it."""
    program = f"from trainer import interrupts; interrupts.install(['recipes'])\n{block}{BUSY}"
    process = subprocess.Popen(
        [sys.executable, "-c", program],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    assert process.stdout
    assert process.stderr
    assert process.stdout.readline() == "busy\n"
    process.send_signal(number)
    assert process.stderr.readline() == "trainer: error: interrupted\n"
    if block:
        assert process.poll() is None
        process.send_signal(number)
    assert process.wait(timeout=60) == 128 + number
    assert process.stderr.read() == ""


def published_run(dataset: str, url: str) -> None:
    """What `trainer runs` and `verify` need of a run, made without training."""
    sets = [word for word in training(dataset, url) if "=" in word]
    claim_folder(open_store(url), make_plan(load(recipe="digits", overrides=sets), 1).document, {})
    open_store(url).put("weights/best.weights.h5", b"x" * 1000)


def goes_on(folders: Path, url: str) -> bool:
    """Whether there is a whole dataset, or the next start makes one."""
    from tests.preparation.killed_starts import named, whole

    if whole(url) is None:
        assert start("prepare", str(folders), url).wait() == 0
    return named(url) and whole(url) is not None


@pytest.mark.long
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("number", SIGNALS)
@pytest.mark.parametrize("command", COMMANDS)
def test_at_ten_random_moments(command: str, number: int, digits: str, folders: Path, tmp_path: Path):
    """From the first moment on, in a local store."""
    draw = random.Random(f"{command}{number}")
    published_run(digits, f"{tmp_path}/run")
    new = tmp_path / "new"
    run = training(digits, str(new), "train.batch_size=300", "train.epochs=50")
    commands = {
        "prepare": ["prepare", str(folders), str(new)],
        "inspect": ["inspect", digits],
        "index": ["index", digits],
        "train": run,
        "supervise": ["supervise", *run[1:], "--ranks", "1"],
        "predict": ["predict", "--run", f"{tmp_path}/run", "--input", str(folders), "--output", str(new)],
        "evaluate": ["evaluate", f"{tmp_path}/run"],
        "report": ["report", f"{tmp_path}/run"],
        "log": ["log", f"{tmp_path}/run", "--output", str(new)],
        "augment": ["augment", "--set", f"data.url={digits}", "--output", f"{new}.png"],
        "compare": ["compare", f"{tmp_path}/run"],
        "doctor": ["doctor", str(new), "--quick"],
        "weights": ["weights", f"{tmp_path}/run", str(new)],
        "runs": ["runs", str(tmp_path)],
        "verify": ["verify", f"{tmp_path}/run"],
        "status": ["status"],
        "logs": ["logs", "x"],
        "wait": ["wait", "x"],
        "recipes": ["recipes"],
        "model": ["model", "lab-cnn"],
    }
    longest = 12.0 if command in ("train", "supervise", "predict") else 1.5
    for _ in range(10):
        process = start(*commands[command], KUBECONFIG=str(tmp_path / "none"), TMPDIR=str(tmp_path))
        wait_for_handlers(process)
        time.sleep(draw.uniform(0, longest))
        code, _, errors = send(process, number)
        # Done already, or refused (there is no cluster; the weights are none) before the signal came.
        assert code in {0, 64, code_of(command, number)}, errors
        assert "Traceback" not in errors
        said = sum("error: " in line for line in errors.splitlines())
        if command == "supervise" and code == 75:  # rank 0 says it too, if it has begun
            assert "stopped by" in errors or said == 1, errors
            assert said <= 1, errors
        else:
            assert said == (code != 0), errors
        assert not temporary_files(tmp_path)
        if command == "prepare":
            assert goes_on(folders, str(new))
            subprocess.run(["rm", "-rf", str(new)], check=True)
        elif command == "doctor":
            assert not new.exists()
