"""`trainer doctor URL` tries what a run needs, and leaves nothing behind."""

import json
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.commands import trainer
from tests.documents import assert_document
from trainer.doctor import devices, examine, probe, store_checks, to_fix
from trainer.doctor.finding import CheckResult
from trainer.machine.sandbox import ProcessFailed
from trainer.storage import Store, open_store
from trainer.storage.base import ObjectInfo
from trainer.storage.s3.s3_store import S3Store


def found(url: str) -> dict[str, tuple[str, str]]:
    return {f.what: (f.mark, f.found) for f in examine(url, timed=False)}


def test_a_store_that_does_all_is_said_to_and_left_empty(store_url: str):
    tried = found(store_url)
    expected = ["list", "write", "read a range", "write if absent", "write if unchanged", "delete"]
    if store_url.startswith("s3"):
        expected.insert(-1, "write in parts")
    assert list(tried)[-len(expected) :] == expected
    assert {tried[what][0] for what in expected} == {"ok"}
    assert not list(open_store(store_url).list())


def test_it_counts_no_bucket(s3: str, monkeypatch: pytest.MonkeyPatch):
    """Of millions of objects one page is read."""
    store = open_store(s3)
    for number in range(3):
        store.put(f"{number}", b"")
    taken: list[str] = []
    every = S3Store.list

    def counted(store: S3Store, prefix: str = "") -> Iterator[ObjectInfo]:
        for info in every(store, prefix):
            taken.append(info.key)
            yield info

    monkeypatch.setattr(S3Store, "list", counted)
    assert found(s3)["list"] == ("ok", f"{s3} holds objects")
    assert taken == ["0"]


def test_what_is_missing_is_an_error_and_nothing_more_is_tried(s3: str):
    tried = found("s3://no-such-bucket/x")
    assert tried["list"][0] == "error"
    assert "there is no bucket 'no-such-bucket'" in tried["list"][1]
    assert "write" not in tried


def test_it_cleans_up_when_it_is_interrupted(store_url: str, monkeypatch: pytest.MonkeyPatch):
    def interrupted(store: Store, key: str) -> str:
        assert [info.key for info in store.list()] == [key]
        raise KeyboardInterrupt

    monkeypatch.setattr(store_checks, "_write_if_absent", interrupted)
    with pytest.raises(KeyboardInterrupt):
        examine(store_url, timed=False)
    assert not list(open_store(store_url).list())


def test_it_times_the_convolution_the_exchange_and_the_store(tmp_path: Path):
    done = trainer("doctor", str(tmp_path / "new"), "--full", "--json", timeout=280)
    assert done.returncode == 0, done.stderr
    assert_document(json.loads(done.stdout), list[CheckResult])
    said = {found["what"]: found for found in json.loads(done.stdout)}
    for what, text in {
        "devices": "the CPU alone (TensorFlow is built for CPUs)",
        "convolution of 100 images": "CPU ",
        "convolution of 2 images": "CPU ",
        "exchange": "2 ranks over Gloo: a number in ",
        "speed": "writes ",
    }.items():
        assert text in said[what]["found"]
    assert not list(tmp_path.iterdir())


def test_what_is_not_done_in_time_is_said(monkeypatch: pytest.MonkeyPatch):
    """Processes that take longer than all checks may."""
    monkeypatch.setattr("trainer.doctor.SECONDS", 0.5)
    monkeypatch.setattr("trainer.doctor.probe.MIN_SECONDS", 0.1)
    began = time.monotonic()
    results = {result.what: result for result in examine(None)}
    assert time.monotonic() - began < 15, "processes are ended at once"
    for what in ("devices", "exchange"):
        assert results[what] == CheckResult(
            "warning", what, "not done in time", "trainer doctor --full waits for it"
        )


@pytest.mark.parametrize(
    ("url", "error", "remedy"),
    [
        ("s3://no-such-bucket/x", None, "Create the bucket, or correct the URL"),
        (None, PermissionError("access denied"), "Set the keys of an account that may list"),
        (None, TimeoutError("gave up after 5 s"), "Correct AWS_ENDPOINT_URL"),
        (None, OSError(28, "No space left on device"), "Free some space"),
        (None, ValueError("odd"), "See docs/stores.md"),
    ],
)
def test_each_failure_of_a_store_has_a_remedy(
    s3: str, url: str | None, error: Exception | None, remedy: str, monkeypatch: pytest.MonkeyPatch
):
    def fail(*_: object, **__: object) -> None:
        assert error
        raise error

    if error:
        monkeypatch.setattr(store_checks, "_write", fail)
    failed = [result for result in examine(url or s3, timed=False) if result.mark != "ok"]
    assert failed
    assert all(result.remedy.startswith(remedy) for result in failed)


def test_a_store_that_never_answers_is_an_error_in_time(s3: str, monkeypatch: pytest.MonkeyPatch):
    """By default: not after the 30 s that a socket may be silent in a training."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{listening.getsockname()[1]}")
        monkeypatch.setattr(store_checks, "RETRY_SECONDS", 0.4)
        began = time.monotonic()
        (failed,) = [result for result in examine(s3) if result.mark != "ok"]
        assert time.monotonic() - began < 15
    assert (failed.mark, failed.what) == ("error", "list")
    assert failed.remedy.startswith("Correct AWS_ENDPOINT_URL")


def test_nothing_is_timed_where_something_is_missing(s3: str):
    assert "exchange" not in {finding.what for finding in examine("s3://no-such-bucket/x")}


def test_a_probe_that_fails_ends_the_others_and_says_how(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "broken.py").write_text(
        "import os, time\n"
        "if os.environ['RANK'] == '0':\n    time.sleep(60)\n"
        "if os.environ['RANK'] == '1':\n    raise SystemExit('no libcudart.so.12')\n"
        "os.abort()"
    )
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    for rank, ending in (("1", "ended with code 1: no libcudart.so.12"), ("2", "ended with SIGABRT")):
        with pytest.raises(ProcessFailed, match=ending):
            probe.run("broken", [environment | {"RANK": number} for number in ("0", rank)])


def test_a_gpu_is_compared_with_the_cpu(monkeypatch: pytest.MonkeyPatch):
    seconds = {"CPU": {"100": 4.0, "2": 0.1}, "GPU": {"100": 0.1, "2": 0.2}}
    assert [finding.found for finding in (devices._convolution(n, seconds) for n in (100, 2))] == [
        "CPU 4.000 s, GPU 0.100 s: 40.0 times as fast",
        "CPU 0.100 s, GPU 0.200 s: 0.5 times as fast",
    ]
    built = {"cuda": "12.5.1", "cudnn": "9", "gpus": ["NVIDIA H200"]}
    assert devices._devices(built, 1).found == "NVIDIA H200 (TensorFlow is built with CUDA 12.5.1, cuDNN 9)"
    assert devices._devices(built | {"gpus": []}, 1).mark == "error"


def test_what_to_fix_has_the_errors_first():
    found = [
        CheckResult("warning", "a", "", "x"),
        CheckResult("error", "b", "", "y"),
        CheckResult("ok", "c", "", "z"),
    ]
    assert [finding.what for finding in to_fix([*found, CheckResult("error", "d", "")])] == ["b", "a"]
