"""Pages in Chromium, where there is one: at two widths, light, dark and printed, by pointer and keys."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import synthetic_pages
from tests.browser import Browser, Scheme, chromium, pages_of

pytestmark = pytest.mark.slow

MAX_PRINTED_PAGES = 6


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with chromium(tmp_path_factory.mktemp("profile")) as running:
        yield running


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("pages")
    contents = {
        "report of 10": synthetic_pages.report_of(10),
        "report of 196": synthetic_pages.report_of(196),
        "comparison": synthetic_pages.comparison_of(6),
        "summary of 10": synthetic_pages.summary_of(10),
        "summary of 196": synthetic_pages.summary_of(196),
    }
    for name, content in contents.items():
        (folder / f"{name}.html").write_bytes(content)
    return {name: folder / f"{name}.html" for name in contents}


NAMES = ("report of 10", "report of 196", "comparison", "summary of 10", "summary of 196")


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark")])
@pytest.mark.parametrize("name", NAMES)
def test_a_page_can_be_read_by_everybody_and_nothing_overflows(
    browser: Browser, pages: dict[str, Path], name: str, width: int, scheme: Scheme
) -> None:
    browser.open(pages[name], width, scheme)
    assert browser.overflow() == 0
    assert browser.violations() == []
    assert browser.complaints() == []
    drawn = "[...document.querySelectorAll('figure[data-chart]')].filter(f => f.checkVisibility())"
    assert browser.value(f"{drawn}.every(f => f.querySelector('.plot svg'))")
    assert browser.value(f"{drawn}.length") >= (1 if "summary" in name else 3)


@pytest.mark.parametrize("name", NAMES)
def test_a_page_is_printed_on_six_sheets_at_most(browser: Browser, pages: dict[str, Path], name: str) -> None:
    browser.open(pages[name], 1280, "dark")
    assert 1 <= pages_of(browser.pdf()) <= MAX_PRINTED_PAGES


CLASSES = "document.querySelector('#classes-of-1')"
FIRST_RECALL = f"{CLASSES}.tBodies[0].rows[0].cells[3].textContent"


def test_the_table_of_classes_is_sorted_and_filtered_by_keys(
    browser: Browser, pages: dict[str, Path]
) -> None:
    browser.open(pages["report of 196"])
    browser.value(f"{CLASSES}.querySelectorAll('th button')[3].focus()")
    browser.press("Enter")
    lowest = float(browser.value(FIRST_RECALL))
    browser.press("Enter")
    highest = float(browser.value(FIRST_RECALL))
    assert lowest < 0.6 < 0.9 < highest
    assert browser.value(f"{CLASSES}.querySelectorAll('th')[3].getAttribute('aria-sort')") == "descending"
    browser.value("document.querySelector('[data-filters=classes-of-1]').focus()")
    for letter in "tesla x":
        browser.press(letter)
    shown = browser.value(
        f"[...{CLASSES}.tBodies[0].rows].filter(r => !r.hidden).map(r => r.cells[0].textContent)"
    )
    assert shown
    assert all("Tesla" in name and "x" in name.lower() for name in shown)
    assert browser.value("document.querySelector('output').value") == f"{len(shown)} of 196"


TIP = "document.querySelector('.tip')"
PLACE = "document.querySelector('.field canvas').getBoundingClientRect()"


def test_the_matrix_names_its_cells_by_pointer_and_by_keys(browser: Browser, pages: dict[str, Path]) -> None:
    browser.open(pages["report of 196"])
    browser.value("document.querySelector('.field').scrollIntoView()")
    place = browser.value(f"({{x: {PLACE}.x, y: {PLACE}.y}})")
    browser.move(place["x"] + 1, place["y"] + 1)
    assert " right (" in browser.value(f"{TIP}.textContent")
    browser.move(0, 0)
    assert browser.value(f"{TIP}.hidden")
    browser.value("document.querySelector('.field').focus()")
    for key in ("ArrowRight", "ArrowRight"):
        browser.press(key)
    assert " predicted as " in browser.value(f"{TIP}.textContent")
    assert browser.value("document.querySelectorAll('.field text.count').length") == 0
    for key in "++++":
        browser.press(key)
    browser.value("new Promise(done => setTimeout(done, 50))")
    assert browser.value("document.querySelectorAll('.field text.count').length") > 4
    assert browser.value("document.querySelectorAll('.field text.row').length") < 20
    browser.press("0")
    order = "document.querySelector('[data-confusion] select')"
    recall = synthetic_pages.confusion_of(196).diagonal()
    for number, first in ((2, 0), (1, int(recall.argmin()))):
        browser.value(f"{order}.value = {number}; {order}.dispatchEvent(new Event('change'))")
        browser.press("ArrowDown")
        assert f"{synthetic_pages.names_of(196)[first]}\u2069: " in browser.value(f"{TIP}.textContent")


def test_without_javascript_tables_have_the_numbers(browser: Browser, pages: dict[str, Path]) -> None:
    browser.open(pages["report of 10"], scripts=False)
    text = browser.value("document.body.innerText")
    assert "The charts are drawn by JavaScript, which is switched off" in text
    counts = synthetic_pages.confusion_of(10)
    assert browser.value("document.querySelector('.counts td.right').textContent") == str(counts[0, 0])
    assert not browser.value("document.querySelector('.field').checkVisibility()")
