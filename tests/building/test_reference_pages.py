"""docs/compatibility.md, exit-codes.md and environment.md say what the code does."""

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
import yaml

from trainer import errors
from trainer.checkpoints import training_state as state
from trainer.cli.app import app
from trainer.dataset.manifest import COLUMN_VERSION, FOREIGN_VERSION, VERSION
from trainer.evaluation import evaluation_document as evaluation
from trainer.inference import prediction_plan as plan
from trainer.inference.results import summary
from trainer.runs import findings
from trainer.runs import run_document as document
from trainer.runs.documents import changed_values, heat_values
from trainer.training.auto import kept

pytestmark = pytest.mark.fast

ROOT = Path(__file__).parents[2]
FORMATS = {
    "`dataset.json`": {VERSION, FOREIGN_VERSION, COLUMN_VERSION},
    "`run.json`": {document.RUN_FORMAT},
    "`auto.json`": {kept.VERSION},
    "`finished.json`": {document.FINISHED_FORMAT},
    "`commit.json`, `state.json` of a checkpoint": {state.FORMAT},
    "`audit.json`": {findings.FORMAT},
    "`evaluation/SPLIT-WEIGHTS.json`": {evaluation.VERSION},
    "`report/heat-maps.json`": {heat_values.VERSION},
    "`report/changed-images.json`": {changed_values.VERSION},
    "`plan.json` of predictions": {plan.VERSION},
    "`summary.json` of predictions": {summary.VERSION},
}
"""Object -> the formats that are written."""

OURS = re.compile(r"\bTRAINER_[A-Z][A-Z_]*[A-Z]\b")
OTHERS = re.compile(
    r"(AWS|CUDA|HOROVOD|HTTPS?|KERAS|KUBERNETES|MALLOC|NVIDIA|OMP|OPENBLAS|PROMETHEUS|TF|XLA)_[A-Z_]+|KUBECONFIG"
)
SPELLED = ("trainer", "helm", "scripts", "tests", "Dockerfile.gpu")


@cache
def page(name: str) -> str:
    return (ROOT / "docs" / name).read_text()


def rows(text: str) -> Iterator[list[str]]:
    """The cells of every row of every table, a heading's too."""
    for line in text.splitlines():
        if line.startswith("|") and not line.startswith("|---"):
            yield [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]


@pytest.mark.parametrize("name", FORMATS)
def test_the_formats_are_those_of_the_code(name: str):
    (row,) = (row for row in rows(page("compatibility.md")) if row[0] == name)
    assert {int(number) for number in re.findall(r"\b\d+\b", row[2])} == FORMATS[name]
    assert int(re.findall(r"\b\d+\b", row[3])[-1]) == max(FORMATS[name])


def test_no_numbered_format_is_missing():
    numbered = {row[0] for row in rows(page("compatibility.md")) if row[1] in ("`version`", "`format`")}
    assert numbered == FORMATS.keys()


@pytest.mark.parametrize("chart", ["cars-train", "cars-predict"])
def test_kubernetes_is_the_one_that_the_charts_ask_for(chart: str):
    asked = yaml.safe_load((ROOT / "helm" / chart / "Chart.yaml").read_text())["kubeVersion"]
    (version,) = re.findall(r"^>=(\d+\.\d+)", asked)
    assert f"Kubernetes is {version} or newer" in page("compatibility.md")


def test_every_exit_code_has_its_row():
    codes = {row[0] for row in rows(page("exit-codes.md"))}
    assert {str(value) for name, value in vars(errors).items() if name.startswith("EXIT_")} <= codes


def test_every_command_has_its_row():
    (section,) = re.findall(r"^## By command\n(.*?)^## ", page("exit-codes.md"), re.MULTILINE | re.DOTALL)
    named = {match[1] for row in rows(section) if (match := re.match(r"`(\w+)`", row[0]))}
    assert named == {
        command.name or command.callback.__name__ for command in app.registered_commands if command.callback
    }


@pytest.mark.parametrize(
    ("chart", "value"), [("cars-train", "maxFailedIndexes"), ("cars-predict", "maxFailedIndexes")]
)
def test_the_limits_of_failures_are_those_of_the_charts(chart: str, value: str):
    values = yaml.safe_load((ROOT / "helm" / chart / "values.yaml").read_text())
    assert f"{values[value]} for {chart}" in page("exit-codes.md")
    assert f"`backoffLimitPerIndex` times ({values['backoffLimitPerIndex']})" in page("exit-codes.md")


def test_every_variable_of_ours_is_there_and_no_other():
    files = [ROOT / name for name in SPELLED if (ROOT / name).is_file()]
    files += [path for name in SPELLED for path in (ROOT / name).rglob("*") if path.is_file()]
    text = "\n".join(path.read_text() for path in files if path.suffix not in (".pyc", ".npz", ".h5", ".png"))
    assert set(OURS.findall(page("environment.md"))) == set(OURS.findall(text))


def test_every_variable_of_others_that_the_package_spells_is_there():
    spelled = {
        node.value
        for path in (ROOT / "trainer").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and OTHERS.fullmatch(node.value)
    }
    assert len(spelled) > 20
    missing = {name for name in spelled if f"`{name}`" not in page("environment.md")}
    assert not missing
