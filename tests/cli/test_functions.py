"""`import trainer`: cheap, typed, and as strict as the command line."""

import subprocess
import sys
import typing
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import trainer
from trainer.api.keywords import assignments
from trainer.output import progress as bars
from trainer.output.notebook import bar_line


def test_the_import_is_cheap():
    code = (
        "import sys, trainer\n"
        "heavy = {'tensorflow', 'keras', 'numpy', 'pydantic', 'yaml', 'boto3', 'h5py', 'typer', 'rich'}\n"
        "assert {'prepare', 'report'} <= set(dir(trainer))\n"
        "assert issubclass(trainer.ConfigError, trainer.TrainerError)\n"
        "from trainer import train\n"
        "assert 'tensorflow' not in sys.modules and callable(train)\n"
        "import trainer.reporting.write\n"
        "assert callable(trainer.report)\n"
    ).replace("from trainer import train\n", "print(heavy & set(sys.modules))\nfrom trainer import train\n")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "set()\n"), done.stderr


@pytest.mark.parametrize("name", trainer.__all__)
def test_every_name_is_there_and_typed(name: str):
    value = getattr(trainer, name)
    assert value.__doc__
    if isinstance(value, type):
        if not issubclass(value, Exception):
            assert value.__dataclass_params__.frozen  # type: ignore[attr-defined]
    else:
        assert "return" in typing.get_type_hints(value)


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="'trian'"):
        trainer.trian  # noqa: B018


@pytest.mark.parametrize(
    ("keywords", "expected"),
    [
        ({"epochs": 3}, ["train.epochs=3"]),
        ({"data": "s3://b/cars", "run": Path("runs/a")}, ['data.url="s3://b/cars"', 'run.url="runs/a"']),
        ({"data": SimpleNamespace(url="file:///d")}, ['data.url="file:///d"']),
        ({"data": {"image_size": [32, 48]}}, ["data.image_size=[32, 48]"]),
        ({"learning_rate": 1e-5}, ["train.optimizer.learning_rate=1e-05"]),
        ({"optimizer": "adam"}, ['train.optimizer.name="adam"']),
        (
            {"optimizer": {"name": "adam", "beta_1": 0.8}},
            ['train.optimizer.name="adam"', "train.optimizer.beta_1=0.8"],
        ),
        ({"image_size": 32, "monitor": "val_loss"}, ["data.image_size=32", 'run.monitor="val_loss"']),
        ({"augment": {"flip": "both"}}, ['data.augment.flip="both"']),
        ({"train": {"seed": 4}}, ["train.seed=4"]),
        ({"early_stopping": None}, ["train.early_stopping=null"]),
    ],
)
def test_a_keyword_is_a_key_of_the_configuration(keywords: dict[str, Any], expected: list[str]):
    assert assignments({}, keywords) == expected


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: trainer.train(), "no configuration"),
        (lambda: trainer.train(epoch=3), r"no option 'epoch'\. Did you mean 'epochs'\?"),
        (lambda: trainer.train({"trian": {}}), "received 'trian'"),
        (lambda: trainer.train(7), "expected a mapping or the path of a YAML file, received 7"),  # type: ignore[arg-type]
        (lambda: trainer.train("none.yaml"), "none.yaml: no such file"),
        (lambda: trainer.train(recipe="digts"), "Did you mean 'digits'"),
        (
            lambda: trainer.train(recipe="digits", data="d", run="r", epochs=-1),
            r"^train\.epochs=-1: train\.epochs: expected",
        ),
        (
            lambda: trainer.train(recipe="digits", data="d", run="r", ranks=0),
            "ranks: expected an integer from 1",
        ),
        (
            lambda: trainer.train(recipe="digits", data="d", run="r", ranks=2, callbacks=[object()]),
            "callbacks: objects exist in this process alone",
        ),
        (
            lambda: trainer.train(recipe="digits", data="d", run="r", seed=object()),
            "train.seed: expected a text",
        ),
        (lambda: trainer.prepare("a", 5), "url: expected a path or a URL, received 5"),  # type: ignore[arg-type]
        (lambda: trainer.prepare("a", "b", validation=1.5), "validation: expected a number from 0 to 1"),
        (lambda: trainer.prepare("a", "b", image_size=(1, 2, 3)), "image_size: expected a side or"),  # type: ignore[arg-type]
        (lambda: trainer.prepare("a", "b", image_size=0), "image_size: expected an integer from 1 to 8192"),
        (lambda: trainer.prepare("a", "b", resize="none"), "resize: expected squash or crop or pad"),  # type: ignore[arg-type]
        (lambda: trainer.prepare("a", "b", shard_size="7"), "shard_size: expected a size from 1MiB"),
        (lambda: trainer.index("a", images="x", train=[("x", "y")]), "the splits have datasets"),
        (lambda: trainer.evaluate("a", weights="all"), "weights: expected best or last"),  # type: ignore[arg-type]
        (lambda: trainer.predict(run="a"), "expected either images or input"),
        (lambda: trainer.predict("a", run="a", input="b"), "expected either images or input"),
        (lambda: trainer.predict("x.png", run="r", batch_siz=3), "unknown key 'batch_siz'"),
    ],
)
def test_invalid_arguments_are_one_error_with_a_remedy(call: Callable[[], Any], message: str, tmp_path: Path):
    with pytest.raises(trainer.ConfigError, match=message):
        call()


class Display:
    """What IPython has of a display that is updated."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def __call__(self, data: dict[str, str], *, raw: bool, display_id: bool) -> "Display":
        return self

    def update(self, data: dict[str, str], *, raw: bool) -> None:
        self.lines.append(data["text/plain"])


@pytest.fixture
def notebook(monkeypatch: pytest.MonkeyPatch) -> Display:
    shown = Display()
    shell = SimpleNamespace(kernel=object())
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: shell))
    monkeypatch.setitem(sys.modules, "IPython.display", SimpleNamespace(display=shown))
    return shown


def test_a_notebook_has_one_line_that_changes(notebook: Display, capsys: pytest.CaptureFixture[str]):
    with bars.progress(pytest.fail, "images read") as report:
        for done in (1, 50, 100):
            report(done, 100)
        bars.print_line("a warning")
    assert "100/100 images read" in notebook.lines[-2]
    assert notebook.lines[-1] == "", "it is removed"
    assert capsys.readouterr() == ("a warning\n", "")


def test_a_notebook_shows_epochs(notebook: Display):
    with bars.epoch_bar(3) as bar:
        assert bar
        bar.begin(1, 4)
        bar.step(4, "loss 0.5000", "120")
    assert notebook.lines[-2].startswith("epoch 2/3 ███")
    assert notebook.lines[-2].endswith("4/4 loss 0.5000 120 images/s")


def test_the_time_left_is_that_of_the_pace():
    line = bar_line({"description": "epoch 1/2", "completed": 1, "total": 3, "metrics": "loss 0.5"}, 10)
    assert line == "epoch 1/2 " + "█" * 10 + "░" * 20 + " 1/3 loss 0.5 20 s left"


def test_lines_are_shown_without_logging_of_one_s_own_and_left_to_it_otherwise(tmp_path: Path):
    code = (
        "import logging, sys, trainer\n"
        "if sys.argv[1] == 'own': logging.basicConfig(format='own %(message)s', level=logging.INFO)\n"
        "from trainer.api.shown import log_lines\n"
        "for info in (True, False):\n"
        "    with log_lines(info=info):\n"
        "        logging.getLogger('trainer.x').info('info')\n"
        "        logging.getLogger('trainer.x').warning('warning')\n"
        "logging.getLogger('trainer.x').info('after')\n"
    )

    def lines(how: str) -> list[str]:
        done = subprocess.run([sys.executable, "-c", code, how], capture_output=True, text=True)
        return [line.split(" ", 1)[-1] for line in done.stderr.splitlines()]

    assert lines("none") == ["info", "warning", "warning"]
    assert lines("own") == ["info", "warning", "info", "warning", "after"]
