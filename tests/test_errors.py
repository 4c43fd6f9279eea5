"""What the system says, a file that is no dataset, a run that is not there: one line with a remedy."""

import errno
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import pytest

from trainer import main
from trainer.config import load
from trainer.errors import ConfigError, TransientError, explain_os_error
from trainer.runs.claim import claim_folder
from trainer.storage import open_store
from trainer.training.run_plan import make_plan


@pytest.fixture
def refused(capsys: Any):
    def run(*arguments: str, code: int = 64) -> str:
        capsys.readouterr()
        assert main.run(arguments) == code
        (line,) = capsys.readouterr().err.splitlines()
        return str(line)

    return run


def test_a_full_disk_may_have_room_later(
    refused, small_disk: Callable[[str], Path], folders: Path, digits: str, tmp_path: Path
):
    full_disk = small_disk("16k")
    line = refused("prepare", str(folders), f"{full_disk}/data", "--image-size", "64", code=75)
    assert f"file://{full_disk}/data/" in line
    assert ".h5: cannot be written: No space left on device. Free some space" in line
    assert not list(full_disk.iterdir())


@pytest.mark.parametrize("place", ["/proc/none", "/dev/null/none", "FILE", "FILE/none", "x" * 300])
def test_a_place_that_can_hold_nothing_is_named(
    refused, place: str, folders: Path, digits: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "FILE").write_text("mine")
    name = place if len(place) < 100 else "File name too long"
    assert name in refused("prepare", str(folders), place)
    sets = ["--set", f"data.url={digits}", "--set", f"run.url={place}"]
    assert name in refused("train", "--check", "--recipe", "digits", *sets)
    assert {path.name for path in tmp_path.iterdir()} == {"FILE", folders.name}
    assert (tmp_path / "FILE").read_text() == "mine"


@pytest.mark.parametrize(
    ("error", "kind", "says"),
    [
        (OSError(errno.ENOSPC, "No space left on device", "/d/x"), TransientError, "/d/x: No space left"),
        (OSError(errno.EDQUOT, "Disk quota exceeded"), TransientError, "Free some space"),
        (OSError(errno.EIO, "Input/output error", "/d/x"), TransientError, "/d/x"),
        (ConnectionResetError(errno.ECONNRESET, "Connection reset by peer"), TransientError, "reset"),
        (TimeoutError("s3://b/k: gave up after 5 s"), TransientError, "gave up after 5 s"),
        (OSError(errno.EROFS, "Read-only file system", "/d/x"), ConfigError, "writable location"),
        (NotADirectoryError(errno.ENOTDIR, "Not a directory", "/d/x"), ConfigError, "another location"),
        (FileNotFoundError("s3://b/k: no such object"), ConfigError, "no such object"),
        (OSError("s3://b/k: InvalidRequest (400)"), ConfigError, "InvalidRequest"),
        (OSError(), ConfigError, "OSError"),
    ],
)
def test_every_error_of_the_system_has_its_code(error: OSError, kind: type, says: str):
    found = explain_os_error(error)
    assert type(found) is kind
    assert says in str(found)
    assert "Errno" not in str(found)


def test_an_error_with_words_of_its_own_keeps_them_and_the_code_of_its_cause():
    error = OSError("file:///d/x: cannot be written")
    error.__cause__ = OSError(errno.ENOSPC, "No space left on device")
    assert str(explain_os_error(error)).startswith("file:///d/x: cannot be written. Free some space")
    assert explain_os_error(error).exit_code == 75


@pytest.mark.parametrize(
    "arguments", [["verify"], ["verify", "--json"], ["runs"], ["weights", "--last"], ["weights", "--step=3"]]
)
def test_a_run_that_does_not_exist_is_an_error(refused, arguments: list[str], tmp_path: Path):
    command, *options = arguments
    places = [f"{tmp_path}/none", *([str(tmp_path)] if command == "weights" else [])]
    assert "there is no run here" in refused(command, *places, *options)
    given = ["--run", f"{tmp_path}/none", "--input", str(tmp_path), "--output", f"{tmp_path}/out"]
    assert "there is no run here" in refused("predict", *given)
    assert not list(tmp_path.iterdir())


def test_a_run_without_checkpoints_says_so(digits: str, tmp_path: Path, capsys: Any):
    sets = [f"data.url={digits}", f"run.url={tmp_path}/run"]
    claim_folder(
        open_store(f"{tmp_path}/run"), make_plan(load(recipe="digits", overrides=sets), 1).document, {}
    )
    assert main.run(["verify", f"{tmp_path}/run"]) == 0
    assert capsys.readouterr().out.startswith(
        f"file://{tmp_path}/run: no checkpoint yet: the run saves the first one "
    )


@pytest.mark.parametrize("name", ["images.h5", "images"])
def test_an_hdf5_file_is_no_dataset(refused, name: str, s3: str, tmp_path: Path):
    with h5py.File(tmp_path / name, "w") as file:
        file["train_set_x"] = [1, 2, 3]
    open_store(s3).put_file(name, tmp_path / name)
    for url in (f"{tmp_path}/{name}", f"{s3}/{name}"):
        line = refused("inspect", url)
        assert f"{name} is an HDF5 file; expected a dataset" in line
        assert "trainer prepare" in line


def test_weights_go_to_a_local_path(refused, tmp_path: Path):
    assert "expected a file or a folder, received 's3:" in refused(
        "weights", f"{tmp_path}/run", "s3://bucket/weights"
    )


def test_an_output_that_cannot_be_written_is_one_line_or_none():
    command = f"{sys.executable} -m trainer recipes resnet50"
    full = subprocess.run(f"{command} > /dev/full", shell=True, capture_output=True, text=True)
    assert full.returncode == 75
    assert full.stderr.splitlines() == [
        "trainer: error: No space left on device. Free some space, or choose another location"
    ]
    closed = subprocess.run(
        ["bash", "-c", f"{command} | true; echo ${{PIPESTATUS[0]}}"], capture_output=True, text=True
    )
    assert (closed.stdout, closed.stderr) == ("141\n", "")


def test_what_keras_refuses_names_the_values(refused, digits: str, tmp_path: Path):
    def check(*sets: str) -> str:
        given = [f"data.url={digits}", f"run.url={tmp_path}/run", *sets]
        words = [word for text in given for word in ("--set", text)]
        line: str = refused("train", "--check", "--recipe", "digits", *words)
        return line

    assert "n_conv_layers=20, n_filters=16" in check("model.options.n_conv_layers=20")
    assert "GiB of memory" in check("model.options.n_filters=65000")
    assert "model.options.n_filters: expected a value greater" in check("model.options.n_filters=0")
    assert "model.options.use_batch: expected a valid boolean" in check("model.options.use_batch=maybe")
    assert "Did you mean 'n_filters'?" in check("model.options.n_filter=3")
    words = ["--set", f"data.url={digits}", "--set", f"run.url={tmp_path}/run", "--set", "data.image_size=20"]
    line = refused("train", "--check", "--recipe", "resnet50", *words, "--set", "train.batch_size=8")
    assert "resnet50 for images of 20x20x3: rejected by Keras: Input size must be at least 32x32" in line
    assert not (tmp_path / "run").exists()
