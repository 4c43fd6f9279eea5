"""Every option of every command and every key of the configuration, with values that are invalid.

Whatever they are: exit 64, or 75 for what may pass, in at most three lines, with nothing left behind.
"""

import random
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import keras  # noqa: F401  so that no case below waits for it
import pytest
import typer
import yaml
from pydantic import BaseModel

from trainer import main
from trainer.cli.app import app
from trainer.config import RunConfig
from trainer.config.types import Every, Seconds, Url
from trainer.inference.config import PredictConfig
from trainer.storage import open_store

COMMANDS: dict[str, Any] = typer.main.get_command(app).commands  # type: ignore[attr-defined]

NO_URLS = [
    *("s3:/bucket/x", "s3:bucket", "s3:", "s3://", "s3:///x", "S3://bucket/x", " s3://bucket", "gs://b/x"),
    *("gs:b", "http://host/x", "https:/host", "file:/x", "file:x", "file://host/x", "ftp://x", "s3//b/x"),
    *("a\nb", "\x1b[31mred", "a\x00b", "\x7f", "\udcff"),
]
TEXTS = [
    *NO_URLS,
    *("", " ", "é/ü/😀", "no-such-thing", "nan", "a=b", "{", "[", "%s%n", "x" * 5000, "--", "-1"),
    *("/dev/null", "/dev/null/x", "/proc/self/x", "s3://no-such-bucket-here/x", "0", "None", "*"),
]
NUMBERS = ["", "foo", "nan", "-inf", "-1", "1e400", "0x", "é", "true", "[1]", "9" * 5000, "1,5", "-0.5"]


class Trainer:
    """Runs commands in this process, in an empty folder."""

    def __init__(self, folder: Path, read: Callable[[], Any]) -> None:
        self.folder, self._read = folder, read

    def __call__(self, *arguments: str) -> tuple[int, str]:
        """The exit code and what was said on stderr; checks what holds for every end."""
        self._read()
        began = time.process_time(), time.monotonic()
        code = main.run(arguments)
        seconds = time.process_time() - began[0], time.monotonic() - began[1]
        said = self._read().err
        shown = f"{arguments}: exit {code}\n{said}"
        assert code in (0, 64, 75), shown
        assert "Traceback" not in said, shown
        assert len(said.splitlines()) <= 3, shown
        assert len(said) < 3000, shown
        assert (code == 0) or "error: " in said or arguments[0] == "doctor", shown
        assert not list(self.folder.iterdir()), shown
        assert seconds[0] < 5, shown  # of the processor, since others may use it too
        assert seconds[1] < 30, shown
        return code, said


@pytest.fixture
def trainer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, s3: str, capsys: Any) -> Trainer:
    folder = tmp_path / "empty"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "no-kubeconfig"))
    monkeypatch.setenv("TRAINER_RETRY_SECONDS", "2")
    return Trainer(folder, capsys.readouterr)


def options() -> Iterator[tuple[str, Any]]:
    for name, command in COMMANDS.items():
        for parameter in command.params:
            if not getattr(parameter, "is_flag", False):
                yield name, parameter


def arguments_with(command: str, parameter: Any, value: str) -> list[str]:
    """The command's required arguments, the others in their place, and `parameter` with `value`."""
    given = [command]
    for other in COMMANDS[command].params:
        if other.name == parameter.name:
            given += [value] if other.param_type_name == "argument" else [f"{_long(other)}={value}"]
        elif other.param_type_name == "argument" and other.required:
            given.append("/no/such/folder")
    if command in ("train", "supervise") and parameter.name != "recipe":
        given += ["--recipe", "digits", "--set", "data.url=/no/such/folder", "--set", "run.url=run"]
    if command == "doctor":
        given.insert(1, "--quick")
    return given


def _long(parameter: Any) -> str:
    name: str = max(parameter.opts, key=len)
    return name


def _is_number(parameter: Any) -> bool:
    return parameter.type_descriptor.annotation in (int, float)


@pytest.mark.parametrize(
    ("command", "parameter"), list(options()), ids=lambda x: x if isinstance(x, str) else x.name
)
def test_every_option(command: str, parameter: Any, trainer: Trainer):
    for value in NUMBERS if _is_number(parameter) else TEXTS:
        code, said = trainer(*arguments_with(command, parameter, value))
        if _is_number(parameter):
            assert code == 64
            assert f"'{_long(parameter)}'" in said
        elif code == 0:  # what can be a place, a place is
            assert command in ("doctor", "recipes")
            assert value not in NO_URLS


@pytest.mark.parametrize("command", COMMANDS)
def test_what_is_too_much_or_missing(command: str, trainer: Trainer):
    assert trainer(command, "--no-such-option")[0] == 64
    assert trainer(command, *["/no/such/folder"] * 5)[0] == 64
    if any(parameter.required for parameter in COMMANDS[command].params):
        assert trainer(command)[0] == 64


NO_TEXT = ["foo", '""', "'", "{a: 1}", "[1, x]", "[[]]"]
NO_NUMBER = [*NO_TEXT, ".nan", ".inf", "-.inf", "true", "2026-01-01", "1.5.2"]
KINDS: dict[Any, list[str]] = {
    int: [*NO_NUMBER, "1.5"],
    float: NO_NUMBER,
    bool: [*NO_TEXT, ".nan", "7", "2026-01-01"],
    str: ["{a: 1}", "[1, x]", "7", ".nan", "true", "2026-01-01"],
}
"""What is no value of a kind, whatever the key."""
ODD = [
    "-1",
    "0",
    "1.0e+30",
    "1" + "0" * 30,
    "1" + "0" * 400,
    "",
    "null",
    "~",
    "é",
    '"\\e[31m"',
    "x" * 5000,
    "*a",
]
"""What may be a value of some keys."""


def keys(model: type[BaseModel], path: str = "") -> Iterator[tuple[str, Any]]:
    """Every key of a configuration, its type beside it."""
    for name, field in model.model_fields.items():
        here = f"{path}{name}"
        yield here, field
        for inner in _plain_types(field.annotation):
            if isinstance(inner, type) and issubclass(inner, BaseModel) and inner is not Every:
                yield from keys(inner, f"{here}.")


def _plain_types(annotation: Any) -> list[Any]:
    if get_origin(annotation) in (Literal, dict):
        return [annotation]
    inner = get_args(annotation)
    return [kind for part in inner for kind in _plain_types(part)] if inner else [annotation]


def never(field: Any) -> list[str]:
    """Values that a key can never have."""
    kinds = _plain_types(field.annotation)
    if any(isinstance(kind, type) and issubclass(kind, BaseModel) for kind in kinds):
        return ["foo", "7", "[1, x]", ".nan", "true", "{no_such_key: 1}", "{1: 2}"]
    if any(get_origin(kind) is dict for kind in kinds):
        return ["foo", "7", "[1, x]", ".nan", "true", "{a: [1]}", "{a: .nan}", "{1: 2}"]
    if literals := [kind for kind in kinds if get_origin(kind) is Literal]:
        switch = any("on" in get_args(kind) for kind in literals)
        return ["foo", "'", "7", "[1, x]", "{a: 1}", ".nan", *([] if switch else ["true"])]
    if set(get_args(Url)[1:]) & set(field.metadata):
        return [*KINDS[str], *(yaml.safe_dump(url) for url in NO_URLS if url != "\udcff")]
    if set(get_args(Seconds)[1:2]) & set(field.metadata):
        return [*NO_NUMBER, "-5m", "5 parsecs", "1e300", "9" * 400 + "d"]
    there = [kind for kind in kinds if kind in KINDS]
    return [value for value in KINDS[there[0]] if all(value in KINDS[kind] for kind in there)]


RUN_KEYS, PREDICT_KEYS = list(keys(RunConfig)), list(keys(PredictConfig))


def training(digits: str, *sets: str) -> list[str]:
    given = [f"data.url={digits}", "run.url=run", "train.batch_size=600", "data.cache.path=cache"]
    given += ["model.options.n_conv_layers=1", *sets]
    return ["train", "--check", "--recipe", "digits", *(word for text in given for word in ("--set", text))]


@pytest.mark.parametrize(("key", "field"), RUN_KEYS, ids=[key for key, _ in RUN_KEYS])
def test_every_key_of_a_run(key: str, field: Any, digits: str, trainer: Trainer):
    for value in never(field):
        code, said = trainer(*training(digits, f"{key}={value}"))
        assert code == 64, f"{key}={value}"
        assert key in said or "--set" in said, said
    for value in random.Random(key).sample(ODD, 3):  # all of them in the long test
        trainer(*training(digits, f"{key}={value}"))


@pytest.mark.parametrize(("key", "field"), PREDICT_KEYS, ids=[key for key, _ in PREDICT_KEYS])
def test_every_key_of_a_prediction(key: str, field: Any, trainer: Trainer):
    places = ["--run=/no/such/run", "--input=/no/such/images", "--output=out"]
    for value in (*never(field), *ODD):
        assert trainer("predict", *places, "--set", f"{key}={value}")[0] == 64, f"{key}={value}"


def test_a_check_that_finds_nothing_prints_the_plan(digits: str, trainer: Trainer, capsys: Any):
    assert main.run(training(digits)) == 0
    lines = capsys.readouterr().out.splitlines()
    assert {line[:13].strip() for line in lines} >= {"rows", "steps", "ranks", "memory", "run", "weights"}
    assert len({line[13] for line in lines}) == 1, "two columns"
    assert not list(trainer.folder.iterdir())


REFUSED = {
    "model.weights=nowhere": "model.weights",
    "model.weights=WEIGHTS": "not a whole HDF5 file",
    "model.freeze=no-such-layer": "freeze",
    "model.options={n_conv_layers: 2, n_filters: 60000}": "memory",
    "data.image_size=1": "rejected by Keras",
    "train.batch_size=5000": "fewer than one batch",
    "train.lanes=7": "train.lanes",
    "train.micro_batch=1000": "train.micro_batch",
    "data.url=DAMAGED": "its checksum differs",
}
"""What a run refuses, some of it as late as in its first step."""


@pytest.mark.parametrize(("value", "said"), REFUSED.items(), ids=REFUSED)
@pytest.mark.parametrize("where", ["file", "s3"])
def test_what_a_run_refuses_leaves_no_folder(
    value: str, said: str, where: str, digits: str, trainer: Trainer, tmp_path: Path, s3: str
):
    if value.endswith("WEIGHTS"):
        (tmp_path / "other.h5").write_bytes(b"no weights")
    if value.endswith("DAMAGED"):
        damaged_copy(digits, tmp_path / "damaged")
    value = value.replace("WEIGHTS", str(tmp_path / "other.h5")).replace("DAMAGED", str(tmp_path / "damaged"))
    place = "runs/new/run" if where == "file" else f"{s3}/run"
    given = training(digits, "data.cache=null", f"run.url={place}", value)
    code, line = trainer(*(word for word in given if word != "--check"))
    assert code == 64, line
    assert said in line
    assert not list(open_store(f"{s3}/run").list())


def damaged_copy(dataset: str, folder: Path) -> None:
    """A dataset that was copied, with a changed byte in its first shard of training images."""
    shutil.copytree(dataset.removeprefix("file://"), folder)
    shard = min((folder / "train").iterdir())
    content = bytearray(shard.read_bytes())
    content[-1] ^= 1
    shard.write_bytes(content)


@pytest.mark.long
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("seed", range(20))
def test_anything_anywhere(seed: int, digits: str, trainer: Trainer):
    """Two hundred random values of random options and keys."""
    draw = random.Random(seed)
    parameters = list(options())
    for _ in range(200):
        value = _anything(draw)
        if draw.random() < 0.4:
            command, parameter = draw.choice(parameters)
            trainer(*arguments_with(command, parameter, value))
        else:
            key = ".".join(draw.choice(RUN_KEYS)[0] for _ in range(draw.choice([1, 1, 1, 2])))
            trainer(*training(digits, f"{key}={value}"))


def _anything(draw: random.Random) -> str:
    letters = "".join(
        draw.choice("abz019 -+.:{}[]\"'&*!|>%@`~#,=\n\té😀\x00\x1b") for _ in range(draw.randrange(30))
    )
    number = str(draw.choice([-1, 1]) * draw.randrange(10 ** draw.choice([1, 3, 9, 30])))
    known = draw.choice([*TEXTS, *NUMBERS, *NO_NUMBER, *ODD])
    nested = "[" * draw.randrange(200) + draw.choice(["", "1"]) + "]" * draw.randrange(200)
    return draw.choice([letters, number, known, nested, f"{{{letters}: {number}}}", f"{number}{letters}"])
