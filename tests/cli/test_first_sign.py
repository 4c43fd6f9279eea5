"""Every command prints something before it imports or asks for anything that takes long."""

import json
import logging
import re
import sys
from pathlib import Path

import pytest

from tests.commands import on_a_terminal, refused, trainer
from tests.documents import assert_document
from trainer.cli.app import app
from trainer.cli.first_sign import LONG, SHORT
from trainer.observability import log
from trainer.observability.log import LogLine

COMMANDS = [command.callback.__name__ for command in app.registered_commands if command.callback]
HEAVY = {
    *("tensorflow", "keras", "numpy", "pydantic", "yaml", "boto3", "h5py", "kubernetes"),
    *("PIL", "typer", "rich"),
}
UNTIL_IT_IMPORTS = f"""
import os, sys
class Stop:
    def find_spec(self, name, path=None, target=None):
        if name.partition('.')[0] in {HEAVY}:
            sys.stderr.flush()
            os.write(2, b'IMPORT ' + name.encode())
            os._exit(9)
sys.meta_path.insert(0, Stop())
from trainer.__main__ import main
main()
"""
ARGUMENTS = {
    "prepare": ["images", "data"],
    "index": ["data"],
    "inspect": ["data"],
    "train": ["--recipe", "digits"],
    "supervise": ["--recipe", "digits"],
    "predict": ["--run", "run", "--input", "images", "--output", "out"],
    "evaluate": ["run"],
    "report": ["run"],
    "compare": ["run"],
    "model": ["lab-cnn"],
    "weights": ["run", "file"],
    "runs": ["runs"],
    "verify": ["run"],
    "logs": ["cars"],
    "wait": ["cars"],
}


@pytest.mark.parametrize("command", COMMANDS)
def test_a_terminal_shows_it_before_the_first_heavy_import(command: str):
    program = [sys.executable, "-c", UNTIL_IT_IMPORTS]
    shown, code = on_a_terminal(command, *ARGUMENTS.get(command, []), program=program)
    assert code == 9, shown
    first, imported = shown.splitlines()
    assert imported.startswith("IMPORT ")
    assert re.sub(r"^\d\d:\d\d:\d\d ", "", first) == (LONG | SHORT)[command]


def test_each_command_has_a_first_line():
    assert set(COMMANDS) == {*LONG, *SHORT}


@pytest.mark.parametrize(
    ("command", "lines"),
    [("evaluate", ["opening the run"]), ("report", []), ("prepare", ["reading the images"])],
)
def test_in_a_pipe_the_log_begins_with_it_and_short_answers_stand_alone(
    command: str, lines: list[str], tmp_path: Path
):
    done = trainer(command, "no-run", *(["data"] if command == "prepare" else []))
    *before, error = done.stderr.splitlines()
    assert error.startswith("trainer: error: ")
    zoned = r"^20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d[+-]\d\d:\d\d "
    assert [re.sub(zoned, "", line) for line in before] == lines
    assert all(re.match(zoned, line) for line in before)


@pytest.mark.parametrize("how", ["option", "variable"])
def test_json_is_one_object_a_line(how: str):
    given, variable = (["--log-format", "json"], "") if how == "option" else ([], "json")
    done = trainer("evaluate", "./no-run", *given, TRAINER_LOG_FORMAT=variable)
    first, error = map(json.loads, done.stderr.splitlines())
    for line in (first, error):
        assert_document(line, LogLine)
        assert re.fullmatch(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}\+00:00", line["time"])
    assert (first["level"], first["rank"], first["message"]) == ("info", None, "opening the run")
    assert error["level"] == "error"
    assert "there is no run here" in error["message"]
    assert done.returncode == 64


def test_an_unknown_format_is_refused():
    assert "expected text or json" in refused("runs", "x", TRAINER_LOG_FORMAT="xml")
    assert "'xml' is not one of" in refused("runs", "x", "--log-format", "xml")


def test_a_worker_s_line_is_named_unless_it_is_json_already(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    log.print_line_of("worker 1", "text")
    monkeypatch.setattr(log, "_json", log._Json(None))
    log.print_line_of("worker 1", "text")
    log.print_line_of("worker 1", '{"message": "text"}')
    plain, wrapped, as_it_was = capsys.readouterr().err.splitlines()
    assert plain == json.loads(wrapped)["message"] == "worker 1 | text"
    assert as_it_was == '{"message": "text"}'


@pytest.mark.parametrize(("rank", "moved"), [(3, 1), (None, None)])
def test_a_line_names_the_rank_that_its_process_is_now(
    rank: int | None, moved: int | None, monkeypatch: pytest.MonkeyPatch
):
    """In a new generation it may be another one; a process that is not a rank stays so."""
    monkeypatch.setattr(log, "_json", form := log._Json(rank))
    log.log_as(1)
    line = form.format(logging.LogRecord("", logging.INFO, "", 0, "text", None, None))
    assert json.loads(line)["rank"] == moved
