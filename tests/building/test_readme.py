"""The commands and the Python of README: each is run here, or what it does is, where ELSEWHERE says.

Here with other photos, and with less work: LESS says what is replaced.
"""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.blocks import arguments, commands, fenced, indented
from tests.cli.car_photos import drawn_photos
from tests.commands import here

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "README.md").read_text()
PROGRAMS = [
    *("trainer", "helm", "kubectl", "aws", "horovodrun"),
    *("scripts/env", "scripts/quickstart", "scripts/first_hour", "scripts/test"),
]
LESS = {"224": "16", 'recipe="resnet50"': 'recipe="lab-1"', "epochs=3": "epochs=1", "=32": "=4"}

HERE = [
    "trainer prepare ./photos s3://bucket/cars",
    "trainer prepare ./photos ./cars",
    "trainer train --config run.yaml --check",
    "trainer predict --run s3://bucket/runs/cars-1 photo.jpg",
]
ELSEWHERE = {
    "scripts/env": "tests/building/test_scripts.py",
    "scripts/quickstart": "tests/building/test_readme.py::test_the_quick_start",
    "scripts/first_hour": "tests/cli/test_first_hour.py::test_each_command_is_followed_by_the_one_it_prints",
    "scripts/test": "tests/building/test_scripts.py",
    "helm": "tests/live_cluster/test_story.py::"
    "test_a_run_goes_on_whatever_happens_and_its_weights_name_photos",
    "kubectl": "tests/live_cluster/stack.py",
    "aws": "tests/live_cluster/conftest.py",
    "trainer prepare .quickstart": "tests/live_cluster/conftest.py",
    "trainer logs": "tests/cluster/test_logs.py::test_the_chiefs_log_is_shown",
    "trainer wait": "tests/cluster/test_status.py::test_waiting_gives_the_trainers_exit_code",
    "trainer weights cars-train": "tests/cluster/test_status.py::test_a_release_leads_to_its_run",
    "trainer train --set data.url=./cars": "tests/cli/test_tutorial.py::test_it_leads_to_a_shared_model",
    "trainer train --config run.yaml --ranks 2": "tests/building/test_python_page.py::"
    "test_a_file_in_the_current_folder_is_found_by_every_command_and_rank",
    "horovodrun": "tests/distribution/test_launchers.py::"
    "test_horovodrun_itself_ends_with_its_ranks_and_resumes",
    "trainer predict --run s3://bucket/runs/cars-1 --input": "tests/inference/test_workers.py::"
    "test_workers_that_are_killed_leave_every_image_exactly_once",
    "trainer predict --model keras:ResNet50": "tests/inference/test_imagenet.py",
}


def typed() -> list[str]:
    """Every command of the page."""
    text = "\n".join(block.text for block in indented(PAGE))
    return [" ".join(words) for words in commands(text, *PROGRAMS)]


def test_every_command_is_run_by_a_test():
    for command in typed():
        assert [known for known in (*HERE, *ELSEWHERE) if command.startswith(known)], command
    for known in (*HERE, *ELSEWHERE):
        assert [command for command in typed() if command.startswith(known)], f"{known} is not in README"
    for place in ELSEWHERE.values():
        file, _, name = place.partition("::")
        assert f"def {name}" in (ROOT / file).read_text(), place


def less(text: str) -> str:
    for old, new in LESS.items():
        text = text.replace(old, new)
    return text


def test_its_commands_work_as_written(s3: str, trained: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """`run.yaml` is what is below `run:` in the values that the page shows, with another recipe and batch."""
    photos = drawn_photos(tmp_path / "photos")
    shutil.copytree(photos / "red car", tmp_path / "more")
    shutil.copy(photos / "red car/0.jpg", tmp_path / "photo.jpg")
    monkeypatch.chdir(tmp_path)
    (values,) = (block.text for block in fenced(PAGE) if "recipe:" in block.text)
    less_work = {"recipe": "lab-1", "train": {"batch_size": 4}}
    run = yaml.safe_dump({**yaml.safe_load(values)["run"], **less_work})
    Path("run.yaml").write_text(run.replace("s3://bucket", s3))
    printed = ""
    for start in HERE:
        (command,) = (line for line in typed() if line.startswith(start))
        words = less(command).replace("s3://bucket/runs/cars-1", trained).replace("s3://bucket", s3).split()
        done = here(*arguments(words))
        assert done.returncode == 0, f"{command}: {done.stderr}"
        printed += done.stdout
    assert "photo.jpg" in printed


def test_its_python_works_as_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    photos = drawn_photos(tmp_path / "photos")
    for number, name in enumerate(("one.jpg", "other.jpg")):
        shutil.copy(photos / f"red car/{number}.jpg", tmp_path / name)
    monkeypatch.chdir(tmp_path)
    (code,) = (block.text for block in indented(PAGE) if "trainer.train(" in block.text)
    names: dict[str, object] = {}
    exec(compile(f"import trainer\n{less(code)}", "README.md", "exec"), names)
    assert (tmp_path / "runs/first/finished.json").exists()


@pytest.mark.long
@pytest.mark.timeout(600)
def test_the_quick_start():
    done = subprocess.run(
        [sys.executable, "-m", "scripts.quickstart"], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    accuracy = re.search(r"^accuracy +(\S+) of 450 held-out images$", done.stdout, re.MULTILINE)
    assert accuracy
    assert float(accuracy[1]) > 0.95


def test_its_pictures_are_svg_that_says_what_it_shows():
    shown = re.findall(r"!\[([^\]]+)\]\((docs/images/[\w-]+\.svg)\)", PAGE)
    assert len(shown) == 2
    for _, name in shown:
        text = (ROOT / name).read_text()
        assert "<title" in text
        assert "<desc" in text
        assert "prefers-color-scheme: dark" in text
