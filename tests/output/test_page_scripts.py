"""What pages run: vendored libraries, unchanged and with their licences, and our own scripts."""

import hashlib
import json
from pathlib import Path

import pytest

from tests.browser import AXE
from trainer.output.html.page_scripts import MANIFEST, OWN, VENDOR, page_scripts

pytestmark = pytest.mark.fast

MANIFESTS = [MANIFEST, AXE.parent / MANIFEST.name]
ENTRIES = [(path.parent, entry) for path in MANIFESTS for entry in json.loads(path.read_text()).values()]


@pytest.mark.parametrize(("folder", "entry"), ENTRIES, ids=lambda value: getattr(value, "name", ""))
def test_a_vendored_file_is_the_published_one_and_has_its_licence(
    folder: Path, entry: dict[str, str]
) -> None:
    assert hashlib.sha256((folder / entry["file"]).read_bytes()).hexdigest() == entry["sha256"]
    assert entry["version"] in (folder / entry["file"]).read_text()[:300]
    assert entry["version"] in entry["from"]
    assert len((folder / entry["license_file"]).read_text()) > 500


def test_nothing_is_vendored_without_its_entry() -> None:
    for path in MANIFESTS:
        entries = json.loads(path.read_text()).values()
        named = {entry[key] for entry in entries for key in ("file", "license_file")}
        others = {"LICENSE-3RD-PARTY.txt"}
        assert {one.name for one in path.parent.iterdir()} == named | {path.name} | (
            others if path.parent != VENDOR else set()
        )


def test_a_page_has_each_licence_and_no_script_ends_early() -> None:
    scripts = page_scripts()
    for entry in json.loads(MANIFEST.read_text()).values():
        assert (VENDOR / entry["license_file"]).read_text().strip() in scripts[0] + scripts[1]
    assert len(scripts) == 2 + len(list(OWN.glob("*.js")))
    assert not any("</script" in script.lower() or "<!--" in script for script in scripts)
