"""The command line as a person uses it: quick to help, and one clear line for whatever is wrong."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from typer.main import get_group
from typer.testing import CliRunner

from tests.commands import TRAIN, here, on_a_terminal, refused, refused_here, trainer, training
from tests.documents import assert_document
from trainer import __version__
from trainer.cli.app import app
from trainer.runs.documents.finished_values import FinishedRun
from trainer.storage import open_store

COMMANDS = [command.callback.__name__ for command in app.registered_commands if command.callback]


def test_help_imports_nothing_heavy():
    code = (
        "import sys; sys.argv = ['trainer', '--help']\n"
        "from trainer.main import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "heavy = {'tensorflow', 'keras', 'h5py', 'boto3', 'sklearn', 'kubernetes', 'pydantic', 'horovod'}\n"
        "sys.exit(', '.join(heavy & set(sys.modules)) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    for command in ("prepare", "inspect", "train", "predict", "doctor"):
        assert command in done.stdout


def test_without_arguments_it_shows_its_help():
    done = trainer()
    assert done.returncode == 0
    assert "Commands" in done.stdout


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (["trian"], "no such command 'trian'"),
        (["index"], "missing argument 'url'. See `trainer index --help`"),
        (["train", "--rank", "2"], "--ranks"),
        (["train"], "Pass a YAML file with --config"),
        (["train", "--recipe", "digts"], "Did you mean 'digits'?"),
        ([*TRAIN, "--set", "train.epoch=3"], "did you mean 'epochs'?"),
        (["predict", "--set", "part_siz=3"], "part_size"),
        (["recipes", "none"], "Known:"),
    ],
)
def test_invalid_arguments(given: list[str], says: str):
    assert says in refused(*given)


def test_a_missing_bucket_and_a_missing_dataset_are_named(s3: str):
    assert "there is no bucket 'no-such-bucket'" in refused_here(
        *training("s3://no-such-bucket/data", f"{s3}/run")
    )
    line = refused_here(*training(f"{s3}/nothing", f"{s3}/run"))
    assert "there is no dataset" in line
    assert "trainer prepare" in line


def test_missing_credentials_are_refused_without_a_traceback(dataset: str, s3: str):
    line = refused(*training(dataset, f"{s3}/run"), AWS_ACCESS_KEY_ID="", AWS_SECRET_ACCESS_KEY="")
    assert "access denied" in line


def test_wrong_credentials_are_refused_without_a_traceback(strict_s3: str):
    assert "access denied" in refused("inspect", f"{strict_s3}/data", AWS_SECRET_ACCESS_KEY="wrong")


def test_a_store_that_is_not_there_is_a_passing_cause(s3: str):
    assert "127.0.0.1:1" in refused("inspect", f"{s3}/data", code=75, AWS_ENDPOINT_URL="http://127.0.0.1:1")


def test_empty_and_damaged_images_leave_no_dataset(folders: Path, s3: str):
    (folders / "owl").mkdir()
    assert "owl" in refused_here("prepare", str(folders), f"{s3}/data")
    (folders / "owl").rmdir()
    (folders / "cat" / "9.png").write_bytes(b"no image")
    line = refused_here("prepare", str(folders), f"{s3}/data")
    assert "cat/9.png" in line
    assert not list(open_store(s3).list())
    (folders.parent / "empty").mkdir()
    assert "empty" in refused_here("prepare", str(folders.parent / "empty"), f"{s3}/data")


def test_a_bucket_that_is_missing_is_found_before_any_image_is_read(folders: Path, s3: str):
    assert "no-such-bucket" in refused_here("prepare", str(folders), "s3://no-such-bucket/data")


def test_too_many_ranks_name_the_lanes_to_set(dataset: str, s3: str):
    line = refused_here(
        *training(dataset, f"{s3}/run", "train.batch_size=4", "train.lanes=1"), "--ranks", "2"
    )
    assert "train.lanes: 2" in line


def test_a_split_smaller_than_a_batch(dataset: str, s3: str):
    assert "fewer than one batch of 64" in refused_here(
        *training(dataset, f"{s3}/run", "train.batch_size=64")
    )
    assert not list(open_store(f"{s3}/run").list())


def test_a_dataset_of_a_newer_version_is_refused_by_name(dataset: str, s3: str):
    store = open_store(dataset)
    manifest = json.loads(store.get("dataset.json"))
    store.put("dataset.json", json.dumps(manifest | {"version": 99}).encode())
    assert "version 99" in refused_here(*training(dataset, f"{s3}/run"))


def test_a_used_folder_is_another_run_s(dataset: str, s3: str):
    assert here(*training(dataset, f"{s3}/run")).returncode == 0
    line = refused_here(*training(dataset, f"{s3}/run", "train.seed=2"))
    assert "seed" in line
    assert "run.url" in line
    done = here(*training(dataset, f"{s3}/run"))
    assert done.returncode == 0
    assert "finished" in done.stderr
    assert f"next: trainer report {s3}/run\n" in done.stderr
    done = here(*training(dataset, f"{s3}/run"), "--json")
    end = json.loads(done.stdout)
    assert_document(end, FinishedRun)
    assert (end["url"], end["version"], end["epochs"], end["last"]["epoch"]) == (f"{s3}/run", 2, 1, 1)
    assert "next:" not in done.stderr


def test_a_loss_that_is_not_a_number_stops_the_run_and_commits_nothing(dataset: str, s3: str):
    line = refused_here(
        *training(
            dataset, f"{s3}/run", "train.optimizer={name: sgd, learning_rate: 1.0e38}", "train.epochs=9"
        )
    )
    assert "not finite" in line
    assert "step" in line
    assert not list(open_store(f"{s3}/run").list("checkpoints/"))
    done = here(*training(dataset, f"{s3}/run", "train.optimizer={name: sgd, learning_rate: 0.01}"))
    assert done.returncode == 0, "as the line says"
    assert "starting over: no checkpoint yet, and optimizer.learning_rate changed from 1e+38" in done.stderr


@pytest.mark.parametrize("arguments", [["--version"], ["-h"], ["--help"], ["train", "-h"]])
def test_what_asks_for_words_alone_exits_with_0(arguments: list[str]):
    done = trainer(*arguments)
    assert (done.returncode, done.stderr) == (0, "")
    assert (__version__ in done.stdout) is (arguments == ["--version"])


@pytest.mark.parametrize("width", [80, 120, 200])
@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_no_help_is_cut_in_any_terminal(command: str, width: int):
    done = CliRunner().invoke(app, [*command.split(), "--help"], env={"COLUMNS": str(width)})
    assert done.exit_code == 0
    assert "…" not in done.stdout
    assert "\x1b" not in done.stdout, "colours where nobody looks"
    assert max(map(len, done.stdout.splitlines())) <= width


@pytest.mark.parametrize("command", COMMANDS)
def test_every_argument_says_what_it_is_and_what_it_is_without(command: str):
    found = get_group(app).commands[command]
    assert found.help
    for parameter in found.params:
        said: str = getattr(parameter, "help", "")
        assert said, parameter.name
        if not parameter.required and parameter.default is None:
            assert "Default: " in said, parameter.name
        elif getattr(parameter, "show_default", True) is False:
            pytest.fail(f"{parameter.name} hides its default")


@pytest.mark.parametrize(("environment", "coloured"), [({}, True), ({"NO_COLOR": "1"}, False)])
def test_help_has_colours_on_a_terminal_unless_they_are_not_wanted(
    environment: dict[str, str], coloured: bool
):
    shown, _ = on_a_terminal("train", "--help", width=80, **environment)
    assert "recipe" in shown
    assert bool(re.search(r"\x1b\[(\d+;)*3[1-7]m", shown)) is coloured


def test_ctrl_c_is_130_and_one_line(s3: str):
    """A store that takes connections and never answers; the command waits for it."""
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        process = subprocess.Popen(
            [sys.executable, "-m", "trainer", "inspect", f"{s3}/data"],
            env={**os.environ, "AWS_ENDPOINT_URL": f"http://127.0.0.1:{silent.getsockname()[1]}"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            # A shell lets the commands it starts in the background ignore SIGINT, these tests among them.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )
        silent.settimeout(60)
        connection, _ = silent.accept()
        process.send_signal(signal.SIGINT)
        output, errors = process.communicate(timeout=30)
        connection.close()
    assert (process.returncode, output, errors) == (130, "", "trainer: error: interrupted\n")
