"""Whatever the layout, the labels are the author's, or one line says that they are not clear."""

import re
import tempfile
import unicodedata
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from tests.preparation.labels.generated import Truth, lay_folders, lay_names, lay_table
from trainer.errors import EXIT_INVALID, TrainerError
from trainer.preparation.labels import Columns, LabelledImages, find

pytestmark = pytest.mark.fast


def found_in(source: LabelledImages) -> Truth:
    return {
        item.key: (split, source.classes[item.label])
        for split, items in source.splits.items()
        for item in items
    }


def outcome(folder: str, columns: Columns) -> tuple[LabelledImages | None, TrainerError | None]:
    try:
        return find(folder, columns=columns), None
    except TrainerError as error:
        return None, error


def check(data: st.DataObject, lay: object) -> None:
    with tempfile.TemporaryDirectory() as folder:
        made = data.draw(st.composite(lambda draw: lay(draw, Path(folder)))())  # type: ignore[operator]
        columns = made.arguments.get("columns")
        source, error = outcome(folder, Columns(*columns) if columns else Columns())
        if error:
            assert (error.exit_code, str(error).count("\n")) == (EXIT_INVALID, 0)
            kind = re.sub(r"[^ ]*(tmp|labels|train|GT|table)[^ ]*|'.*?'|[0-9]+", "", str(error))[:60]
            event(f"refused: {kind}")
            return
        assert source
        assert_same(found_in(source), made.truth)
        event(f"read as {source.labels}")


def assert_same(found: Truth, truth: Truth) -> None:
    """The same images are in the same splits, and the classes are the same; of columns that say the same any
    may name them."""
    assert {key: split for key, (split, _) in found.items()} == {
        key: split for key, (split, _) in truth.items()
    }
    pairs = Counter((found[key][1], _plain(truth[key][1])) for key in truth)
    assert len(pairs) == len({one for one, _ in pairs}) == len({other for _, other in pairs}), pairs
    assert all(one in (other, f"the {other}") for one, other in pairs), pairs


def _plain(label: str) -> str:
    return unicodedata.normalize("NFC", label.strip())


SETTINGS = settings(
    max_examples=100,
    derandomize=True,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


@SETTINGS
@given(st.data())
def test_a_table_is_read_as_its_author_meant_it_or_refused(data: st.DataObject) -> None:
    check(data, lay_table)


@SETTINGS
@given(st.data())
def test_folders_are_read_as_their_author_meant_them_or_refused(data: st.DataObject) -> None:
    check(data, lay_folders)


@SETTINGS
@given(st.data())
def test_names_are_read_as_their_author_meant_them_or_refused(data: st.DataObject) -> None:
    check(data, lay_names)
