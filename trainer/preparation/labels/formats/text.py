"""Text files as people write them."""

import ast
import json
import re
import unicodedata
from contextlib import suppress
from typing import Any

from trainer.errors import DataError, one_line

REMEDY = "Correct the list"
_MOST_LITERAL_BYTES = 16 << 20


def decode(name: str, data: bytes) -> str:
    """UTF-8, with or without a mark before it; or UTF-16 with one, as spreadsheets write it."""
    try:
        text = data.decode("utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(
            f"{name}: expected text in UTF-8, found other bytes at {error.start}", REMEDY
        ) from None
    if "\0" in text:
        raise DataError(f"{name}: expected text, found a zero byte", REMEDY)
    return text.replace("\r\n", "\n").replace("\r", "\n")


def lines_of(name: str, data: bytes) -> list[str]:
    """The lines without blanks and quotes around them; empty lines at the end are none."""
    return [bare(line) for line in decode(name, data).rstrip().split("\n")]


def bare(text: str) -> str:
    """Without blanks and a pair of quotes around it."""
    text = text.strip()
    quoted = len(text) > 1 and text[0] == text[-1] and text[0] in "\"'"
    return text[1:-1].strip() if quoted else text


def composed(text: str) -> str:
    """The one form of a text with accents: macOS writes them apart from their letters (NFD), others as one
    character (NFC)."""
    return text if text.isascii() else unicodedata.normalize("NFC", text)


def is_bracketed(text: str) -> bool:
    """Whether a text is one list or mapping, as `[1, 2]` or `{0: 'cat'}`."""
    text = text.strip()
    return text[:1] + text[-1:] in ("[]", "{}")


def load_literal(name: str, text: str) -> Any:
    """The value of JSON, or of a list or mapping as Python prints it. Raises DataError for anything else, and
    for a key that is there twice."""

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            keys = [key for key, _ in pairs]
            twice = next(key for key in keys if keys.count(key) > 1)
            raise DataError(f"{name}: {twice!r} is there twice", REMEDY)
        return found

    try:
        return json.loads(text, object_pairs_hook=unique)
    except (ValueError, RecursionError) as error:
        with suppress(ValueError, SyntaxError, RecursionError, MemoryError, TypeError):
            if len(text) <= _MOST_LITERAL_BYTES and is_bracketed(text):
                return ast.literal_eval(text.strip())
        raise DataError(f"{name}: not JSON ({one_line(error)})", REMEDY) from None


def is_number(text: str) -> bool:
    """Whether a text is a decimal number, as 3, -0.5 or 1e-3."""
    return bool(re.fullmatch(r"[-+]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][-+]?[0-9]+)?", text))
