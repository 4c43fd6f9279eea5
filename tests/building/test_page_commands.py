"""What pages say of the program: commands, options, metrics and configurations that exist."""

import re
from pathlib import Path

import pytest
import yaml
from typer.main import get_group

from tests.blocks import arguments, commands, fenced, indented
from trainer.cli.app import app
from trainer.config.load import load

pytestmark = pytest.mark.fast

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    path for pattern in ("*.md", "docs/**/*.md", "helm/*/README.md") for path in ROOT.glob(pattern)
)
COMMANDS = [
    (page.relative_to(ROOT), words)
    for page in PAGES
    for block in (*fenced(page.read_text()), *indented(page.read_text()))
    for words in commands(block.text, "trainer")
]
METRICS = set(re.findall(r"^\| `(\w+)`", (ROOT / "docs/metrics.md").read_text(), re.MULTILINE))


@pytest.mark.parametrize(("page", "words"), COMMANDS, ids=[" ".join(words) for _, words in COMMANDS])
def test_every_command_is_one_that_the_program_takes(page: Path, words: list[str]):
    name, *given = arguments(words)
    with get_group(app).commands[name].make_context(name, given):
        pass


def test_blocks_of_both_forms_are_read():
    assert len(COMMANDS) > 36
    assert {"README.md", "docs/tutorial.md", "docs/networks.md"} <= {str(page) for page, _ in COMMANDS}


@pytest.mark.parametrize("page", ["docs/training.md", "docs/operating.md", "docs/failures.md", "docs/faq.md"])
def test_every_metric_is_one_that_is_served(page: str):
    named = set(re.findall(r"\b(trainer_[a-z_]+)", (ROOT / page).read_text()))
    assert named <= METRICS


def test_pictures_are_light():
    pictures = list((ROOT / "docs/images").iterdir())
    assert pictures
    assert [path.name for path in pictures if path.stat().st_size > 150_000] == []


def configurations() -> list[tuple[Path, str]]:
    """Page and text of those of runs: blocks of YAML which name a dataset and a run."""
    found = []
    for page in PAGES:
        for block in fenced(page.read_text()):
            values = yaml.safe_load(block.text) if block.kind == "yaml" else None
            if isinstance(values, dict) and {"data", "run"} <= values.keys():
                found.append((page.relative_to(ROOT), block.text))
    return found


CONFIGURATIONS = configurations()


def test_configurations_are_found():
    assert {"docs/training.md", "docs/tutorial.md"} <= {str(page) for page, _ in CONFIGURATIONS}


@pytest.mark.parametrize(("page", "text"), CONFIGURATIONS, ids=[str(page) for page, _ in CONFIGURATIONS])
def test_every_configuration_is_valid(page: Path, text: str, tmp_path: Path):
    (tmp_path / "run.yaml").write_text(text)
    values = yaml.safe_load(text)
    chosen = "recipe" not in values and "name" not in values.get("model", {})
    config = load(tmp_path / "run.yaml", overrides=["model.name=small-resnet"] if chosen else ())
    assert config.data.url.endswith(values["data"]["url"].removeprefix("./")), page
