"""Progress says how fast it goes and how long it takes."""

from pathlib import Path

import pytest

from tests.commands import on_a_terminal, without_codes
from tests.datasets import make_folders
from trainer.output import progress
from trainer.output.progress import Rate
from trainer.output.units import parse_size


def test_a_pace_counts_from_what_was_there_at_first() -> None:
    pace = Rate()
    pace.add(1000, 50.0)  # of an interrupted start
    assert (pace.rate, pace.left(2000)) == ("", "")
    pace.add(1100, 52.0)
    assert (pace.rate, pace.left(2000)) == ("50.0/s", "18 s left")
    pace.add(3000, 52.5)
    assert pace.rate == "800/s"


def test_without_a_terminal_a_line_from_time_to_time(monkeypatch: pytest.MonkeyPatch) -> None:
    seconds = iter([0.0, 1.0, 9.0, 10.5, 12.0])
    monkeypatch.setattr("trainer.output.progress.time.monotonic", lambda: next(seconds))
    said: list[str] = []
    report = progress._lines(said.append, "images prepared", 10.0)
    for done in (1, 100, 1141, 1200):
        report(done, 5000)
    assert said == ["images prepared: 1,141 of 5,000, 120/s, 32 s left"]


def test_on_a_terminal_a_bar_with_rate_and_time_left(tmp_path: Path) -> None:
    folders = make_folders(tmp_path / "images", {"cat": 300, "dog": 300})
    command = [
        "prepare",
        str(folders),
        str(tmp_path / "made"),
        "--image-size",
        "512",
        "--shard-size",
        "16MiB",
    ]
    shown, code = on_a_terminal(*command)
    assert code == 0
    text = without_codes(shown)
    assert "/600 images prepared" in text
    assert "/s" in text.split("images prepared")[-1] or "/s " in text


@pytest.mark.parametrize(
    ("text", "count"), [("512", 512), ("7B", 7), ("64MiB", 64 << 20), ("1.5 GiB", 3 << 29)]
)
def test_sizes_are_read(text: str, count: int) -> None:
    assert parse_size(text) == count


@pytest.mark.parametrize("text", ["", "MiB", "-1", "1MB", "1e9", "nan", "1MiBx", "٣", "9" * 5000])
def test_what_is_no_size(text: str) -> None:
    with pytest.raises(ValueError, match="expected bytes"):
        parse_size(text)
