"""Pages: whatever a class, a file or a run is called, it is text on the page and nothing else."""

import base64
import hashlib
import html
import re
from collections.abc import Iterable
from html.parser import HTMLParser
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.pages import augmentation_page, comparison_text, report_page, summary_page
from trainer.output.html.render import TEMPLATES, render_page
from trainer.output.html.thumbnail import THUMBNAIL_SIDE, thumbnail

pytestmark = pytest.mark.fast

HARMLESS = ("one", "two", "three", "four", "five", "six", "seven", "eight")
HOSTILE = (
    "<script>document.title = 'x'</script>",
    "' onerror='alert(1)",
    '" onload="alert(1)',
    "a & b &amp; &lt;",
    "</title></style></pre>{{ 7 * 7 }}{% raw %}",
    "\u202etxt.exe",
    "حصان أحمر",
    "🐎 \ud800",
)
VOID = {"meta", "link", "img", "br", "input"}


class Structure(HTMLParser):
    """The elements of a page with the names of their attributes, and apart from them every text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, ...]] = []
        self.texts: list[str] = []
        self.open: list[str] = []
        self.feed(page)
        self.close()
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, *(name for name, _ in attrs)))
        self.texts += [value for _, value in attrs if value]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def shown(name: str) -> str:
    return name.encode("utf-8", "backslashreplace").decode()


@pytest.mark.parametrize("page", [report_page, summary_page, comparison_text, augmentation_page])
def test_a_hostile_name_is_text(page: Any) -> None:
    hostile, harmless = Structure(page(HOSTILE)), Structure(page(HARMLESS))
    assert hostile.elements == harmless.elements
    texts = "\n".join(hostile.texts)
    for name in HOSTILE:
        assert shown(name) in texts


@pytest.mark.parametrize("page", [report_page, summary_page])
def test_a_name_that_turns_the_text_around_turns_itself_alone(page: Any) -> None:
    """A right-to-left override inside a line of more than the name is closed behind it."""
    text = page(HOSTILE)
    for caption in re.findall(r"<figcaption>(.*?)</figcaption>", text, re.DOTALL):
        assert "\u202e" not in re.sub(r"<bdi>.*?</bdi>", "", caption, flags=re.DOTALL)
    for description in re.findall(r'alt="(.*? predicted as .*?)"', html.unescape(text)):
        assert "\u202e" not in re.sub("\u2068.*?\u2069", "", description)


@pytest.mark.parametrize("page", [report_page, summary_page, comparison_text, augmentation_page])
def test_a_page_runs_its_own_scripts_alone_and_fetches_nothing(page: Any) -> None:
    """The policy names each script by its SHA-256; whatever else a browser met, it would not run."""
    text = page(HOSTILE)
    (policy,) = re.findall(r'<meta http-equiv="Content-Security-Policy" content="([^"]*)">', text)
    directives = dict(part.split(None, 1) for part in html.unescape(policy).split("; "))
    assert set(directives) == {"default-src", "img-src", "style-src", "script-src"}
    assert (directives["default-src"], directives["img-src"]) == ("'none'", "data:")
    scripts = re.findall(r"<script>(.*?)</script>", text, re.DOTALL)
    digests = [base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in scripts]
    assert directives["script-src"].split() == [f"'sha256-{digest}'" for digest in digests]
    markup = re.sub(r"<script.*?</script>", "", text, flags=re.DOTALL)
    assert not re.search(r'<[^>]* src="(?!data:)', markup)
    assert not re.search(r'<(?!a )[^>]* href="(?!data:)', markup)
    assert not re.search(r'<a [^>]*href="(?!#|file:///|[\w.-]+")', markup)


@pytest.mark.parametrize("path", sorted(TEMPLATES.glob("*.html")), ids=lambda path: path.name)
def test_a_template_leaves_the_escaping_on(path: Any) -> None:
    """An attribute without quotes would end at a blank of its value."""
    text = path.read_text()
    assert not re.search(r"\|\s*safe\b|autoescape|=\{\{", text)


def test_a_value_that_is_missing_is_an_error() -> None:
    with pytest.raises(Exception, match="'title' is undefined"):
        render_page("comparison.html", kind="")


def test_what_utf_8_cannot_hold_is_written_as_escape() -> None:
    assert r"photo\udcff.jpg" in comparison_text(["photo\udcff.jpg"])


@pytest.mark.parametrize(
    ("shape", "kind"), [((8, 8, 3), "png"), ((THUMBNAIL_SIDE, 20, 3), "png"), ((300, 200, 3), "jpeg")]
)
def test_a_thumbnail_is_small(shape: Iterable[int], kind: str) -> None:
    pixels: NDArray[np.uint8] = np.zeros(tuple(shape), np.uint8)
    url = thumbnail(pixels)
    assert url.startswith(f"data:image/{kind};base64,")
    assert len(url) < 2000
