"""A run's report, in a real browser where there is one."""

import json
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests import pages
from tests.browser import Browser, chromium
from tests.commands import refused_here
from tests.documents import assert_document
from trainer.evaluation.evaluate import evaluate
from trainer.output.html.charts import ChartMark
from trainer.reporting.known import Known
from trainer.reporting.report_page import page
from trainer.reporting.write import write_report
from trainer.runs import layout
from trainer.runs.documents.heat_values import HeatDocument, read_heat
from trainer.runs.run_document import dump_run, read_run
from trainer.runs.timing import EpochTiming
from trainer.storage import open_store


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
        "Confusion: validation, best weights",
        "train, best weights",
        "Images of the training",
        "Heat maps",
        "Configuration",
        "core hours",
    ):
        assert words in html
    assert re.search(r"(cat|cow|dog)/\d\.png", html), "names of files"
    assert "validation accuracy" not in html
    assert "top5 accuracy" not in html, "one of three classes is always among five"
    markup = re.sub(r"<script.*?</script>", "", html, flags=re.DOTALL)
    assert not re.search(r"(?:src|href)=['\"](?!data:|#)", markup)
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
    assert text.count('{"x":2.5,"text":""}') == 3, "in each curve"
    assert "80.0%" in text, "of training"


def test_it_marks_the_epoch_of_the_best_weights(trained: str) -> None:
    run = read_run(open_store(trained))
    history = [{"loss": 1.0, "val_accuracy": value} for value in (0.2, 0.9, 0.3)]
    known = Known(trained, run, {}, history, None)
    assert known.marks == [ChartMark(2.0, "best")]
    text = page(known).decode()
    assert "best at epoch 2" in text
    assert '"marks":[{"x":2.0,"text":"best"}]' in text


def test_heat_maps_are_of_the_weights_that_were_evaluated(trained: str, tmp_path: Path) -> None:
    store = open_store(shutil.copytree(trained, tmp_path / "run").as_posix())
    evaluate(store.url, "validation", "best")
    heat = read_heat(store)
    assert heat is not None
    assert heat["images"]
    assert_document(heat, HeatDocument)
    write_report(store.url)
    assert b"under its heat map" in store.get(layout.REPORT)
    store.put(layout.HEAT_MAPS, json.dumps({**heat, "weights_sha256": "00" * 32}).encode())
    write_report(store.url)
    assert b"under its heat map" not in store.get(layout.REPORT)
    assert layout.split_run(layout.HEAT_MAPS) == ("", layout.HEAT_MAPS)


def test_a_price_in_the_configuration_gives_a_cost(trained: str, tmp_path: Path) -> None:
    store = open_store(shutil.copytree(trained, tmp_path / "run").as_posix())
    document = json.loads(store.get(layout.RUN))
    document["config"]["run"]["price"] = {"core_hour": 1e6, "currency": "EUR"}
    store.put(layout.RUN, json.dumps(document).encode())
    write_report(store.url)
    assert re.search(rb"<b>[\d,.]+ EUR</b>", store.get(layout.REPORT))


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with chromium(tmp_path_factory.mktemp("profile")) as running:
        yield running


BROKEN = "[...document.images].filter(i => !i.complete || !i.naturalWidth).length"


@pytest.mark.parametrize("width", [1280, 390])
def test_in_a_browser_nothing_overflows_and_every_image_loads(
    browser: Browser, html: str, width: int, tmp_path: Path
) -> None:
    path = tmp_path / "page.html"
    path.write_text(html)
    browser.open(path, width)
    assert browser.value("document.images.length") > 9
    assert (browser.overflow(), browser.value(BROKEN), browser.complaints()) == (0, 0, [])
    if width == 390:
        assert browser.violations() == []


@pytest.mark.parametrize(
    "page", [pages.report_page, pages.summary_page, pages.comparison_text, pages.augmentation_page]
)
def test_in_a_browser_hostile_and_long_names_do_no_harm(
    browser: Browser, page: Callable[..., str], tmp_path: Path
) -> None:
    names = (
        "x" * 300,
        "<script>document.title = 'x'</script>",
        "\u202etxt",
        "😀",
        "' onerror='",
        "y z" * 200,
    )
    path = tmp_path / "page.html"
    path.write_text(page(names))
    browser.open(path, 390)
    assert (browser.overflow(), browser.value(BROKEN), browser.complaints()) == (0, 0, [])
    assert browser.value("document.title") in ("x" * 300, "Predictions", "6 runs")


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
