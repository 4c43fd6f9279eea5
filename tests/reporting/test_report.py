"""A run's report, in a real browser where there is one."""

import json
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests import pages
from tests.commands import refused_here
from trainer.evaluation.evaluate import evaluate
from trainer.reporting.report_page import Known, page
from trainer.reporting.write import write_report
from trainer.runs import layout
from trainer.runs.run_document import dump_run, read_run
from trainer.runs.timing import EpochTiming
from trainer.storage import open_store

CHECK = """
<iframe id='f' src='page.html' width={width} height=2000></iframe>
<script>f.onload = () => setTimeout(() => {{
  const page = f.contentDocument, root = page.documentElement
  document.body.dataset.found = JSON.stringify({{
    overflow: root.scrollWidth - root.clientWidth,
    broken: [...page.images].filter(i => !i.complete || !i.naturalWidth).length,
    title: page.title,
    images: page.images.length}})
}}, 200)</script>
"""
"""A window cannot be narrower than 500 pixels; a frame in it can."""


@pytest.fixture(scope="module")
def html(trained: str) -> str:
    evaluate(trained, "train", "best", sensitivity=True)
    url = write_report(trained)
    assert url == f"file://{trained}/{layout.REPORT}"
    return open_store(trained).get(layout.REPORT).decode()


def test_it_shows_what_is_known_and_needs_no_network(trained: str, html: str) -> None:
    assert layout.split_run(layout.REPORT) == ("", layout.REPORT)
    for words in (
        "Curves",
        "Where the time went",
        "Evaluation: train, best weights",
        "Images of the training",
        "Configuration",
    ):
        assert words in html
    assert "validation accuracy" not in html
    assert not re.search(r"(?:src|href)=['\"](?!data:)", html)
    assert "turned by 90 degrees" in html
    assert "there is no run here" in refused_here("report", f"{trained}-other")


def test_it_marks_where_a_run_was_started_again(trained: str) -> None:
    times = (5.0, 0.5, 4.0, 0.25, 0.125)
    timing = [EpochTiming(epoch, 1 + (epoch > 1), 2, 100, *times) for epoch in range(4)]
    run = read_run(open_store(trained))
    history = [{"loss": 1.0 / (epoch + 1)} for epoch in range(4)]
    known = Known(trained, run, {}, history, None, timing=timing)
    assert known.restarts == [2.5]
    text = page(known).decode()
    assert "Dashed: the run was started again." in text
    assert text.count('class="mark"') == 3, "in each curve"
    assert "80.0%" in text, "of training"


def looked_at(html: str, width: int, folder: Path) -> dict[str, Any]:
    """What a browser finds in a page; skips the test where there is none."""
    browser = shutil.which("chromium")
    if browser is None:
        pytest.skip("chromium is not on the PATH")
    (folder / "page.html").write_text(html)
    frame = folder / "frame.html"
    frame.write_text(CHECK.format(width=width))
    done = subprocess.run(
        [
            *(browser, "--headless", "--no-sandbox", "--disable-gpu", "--allow-file-access-from-files"),
            *("--enable-logging=stderr", "--virtual-time-budget=5000", "--dump-dom", frame.as_uri()),
            f"--user-data-dir={folder}/profile",
        ],
        capture_output=True,
        text=True,
        timeout=60,
    )
    match = re.search(r'data-found="([^"]*)"', done.stdout)
    assert match, done.stderr
    assert "CONSOLE" not in done.stderr
    found: dict[str, Any] = json.loads(match[1].replace("&quot;", '"'))
    return found


@pytest.mark.parametrize("width", [1280, 390])
def test_in_a_browser_nothing_overflows_and_every_image_loads(html: str, width: int, tmp_path: Path) -> None:
    found = looked_at(html, width, tmp_path)
    assert found["images"] > 9
    assert (found["overflow"], found["broken"]) == (0, 0)


@pytest.mark.parametrize("page", [pages.report_page, pages.summary_page])
def test_in_a_browser_hostile_and_long_names_do_no_harm(page: Callable[..., str], tmp_path: Path) -> None:
    names = (
        "x" * 300,
        "<script>document.title = 'x'</script>",
        "\u202etxt",
        "😀",
        "' onerror='",
        "y z" * 200,
    )
    found = looked_at(page(names), 390, tmp_path)
    assert (found["overflow"], found["broken"]) == (0, 0)
    assert found["title"] in ("x" * 300, "Predictions")


def test_written_from_another_folder_it_has_the_images(
    trained: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    run = open_store(shutil.copytree(trained, tmp_path / "run").as_posix())
    document = json.loads(run.get(layout.RUN))
    document["config"]["data"]["url"] = "data"
    run.put(layout.RUN, json.dumps(document).encode())

    def images() -> int:
        write_report(run.url)
        return run.get(layout.REPORT).count(b"<figure><img")

    with monkeypatch.context() as there:
        there.chdir(Path(trained).parent)
        assert images()
        run.put(layout.RUN, dump_run(read_run(run), 0))
    assert read_run(run).config.data.url == f"{Path(trained).parent}/data"
    monkeypatch.chdir(tmp_path)
    assert images()
    assert not caplog.messages
    run.put(layout.RUN, json.dumps(document).encode())
    assert not images(), "run.json of an older run has what was typed"
    assert re.search(r"has no images, since the dataset cannot be read: .*/data", caplog.text)
