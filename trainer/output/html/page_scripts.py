"""The JavaScript that is inlined into pages: vendored libraries, each with its licence, and our own."""

import base64
import hashlib
import json
from functools import cache
from pathlib import Path

from markupsafe import Markup

VENDOR = Path(__file__).parent / "vendor"
OWN = Path(__file__).parent / "scripts"
MANIFEST = VENDOR / "vendored.json"
"""Name -> version, origin, SHA-256 and licence of each vendored file, in the order in which they are run."""


@cache
def page_scripts() -> tuple[Markup, ...]:
    """The text of every script element of a page, in their order. None of it is from values of a page."""
    libraries = [_with_license(entry) for entry in json.loads(MANIFEST.read_text()).values()]
    return tuple(Markup(text) for text in (*libraries, *(_text(path) for path in sorted(OWN.glob("*.js")))))


@cache
def script_policy() -> str:
    """What a Content-Security-Policy allows to run: these scripts, by their SHA-256, and nothing else."""
    digests = (hashlib.sha256(script.encode()).digest() for script in page_scripts())
    return " ".join(f"'sha256-{base64.b64encode(digest).decode()}'" for digest in digests)


def _with_license(entry: dict[str, str]) -> str:
    """A library; its licence requires that the text of it is in every copy."""
    return f"/*\n{_text(VENDOR / entry['license_file'])}\n*/\n{_text(VENDOR / entry['file'])}"


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8").strip()
