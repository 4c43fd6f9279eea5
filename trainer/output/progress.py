"""Progress bars: on a terminal alone, at the bottom of stderr, with the log's lines above them."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from trainer.output.notebook import NotebookBar, in_notebook
from trainer.output.units import span

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress, ProgressColumn

WIDE = 100
"""Columns of a terminal from which on a bar shows more."""

UPDATE_SECONDS = 0.1

_live: "Console | None" = None
_bars = True


def no_bars() -> None:
    """Prints lines alone, also on a terminal, from now on."""
    global _bars
    _bars = False


def print_line(text: str) -> None:
    """Prints a line on stderr, above the bar where there is one; on stdout in a notebook, which shows stderr
    as an error."""
    if _live is None:
        print(text, file=sys.stdout if in_notebook() else sys.stderr, flush=True)
    else:
        _live.print(text, markup=False, highlight=False, soft_wrap=True)


@contextmanager
def bars(shown: bool) -> Iterator[None]:
    """Whether bars are shown within the block."""
    global _bars
    before, _bars = _bars, shown and _bars
    try:
        yield
    finally:
        _bars = before


@contextmanager
def progress(
    print_line: Callable[[str], None], unit: str, every: float = 10.0
) -> Iterator[Callable[[int, int], None]]:
    """A function of (done, total): a bar on a terminal; elsewhere `print_line` gets a line, at most every
    few seconds. Both show the rate and the remaining time."""
    from rich.progress import MofNCompleteColumn, TextColumn, TimeRemainingColumn

    end = (
        *(MofNCompleteColumn(), TextColumn("{task.fields[unit]}"), TextColumn("{task.fields[rate]}")),
        TimeRemainingColumn(),
    )
    with _bar("", end) as bar:
        if bar is None:
            yield _lines(print_line, unit, every)
            return
        task = bar.add_task("", unit=unit, total=None, rate="")
        rate, updated = Rate(), 0.0

        def report(done: int, total: int) -> None:
            nonlocal updated
            now = time.monotonic()
            rate.add(done, now)
            if now - updated >= UPDATE_SECONDS or done == total:
                updated = now
                bar.update(task, completed=done, total=total, rate=rate.rate)

        yield report


def _lines(print_line: Callable[[str], None], unit: str, every: float) -> Callable[[int, int], None]:
    printed = time.monotonic()
    rate = Rate()

    def report(done: int, total: int) -> None:
        nonlocal printed
        now = time.monotonic()
        rate.add(done, now)
        if now - printed >= every:
            printed = now
            print_line(
                ", ".join(filter(None, (f"{unit}: {done:,} of {total:,}", rate.rate, rate.left(total))))
            )

    return report


class Rate:
    """The rate of progress since the first report; what was done before it does not count."""

    def __init__(self) -> None:
        self._first: tuple[int, float] | None = None
        self._done, self._per_second = 0, 0.0

    def add(self, done: int, now: float) -> None:
        """Reports that `done` are done at `now`, in seconds."""
        first, began = self._first = self._first or (done, now)
        self._done = done
        self._per_second = (done - first) / (now - began) if now > began else 0.0

    @property
    def rate(self) -> str:
        """12.3/s, or "" while it is unknown."""
        digits = 0 if self._per_second >= 100 else 1
        return f"{self._per_second:,.{digits}f}/s" if self._per_second else ""

    def left(self, total: int) -> str:
        """42 s left, or "" while it is unknown."""
        return f"{span((total - self._done) / self._per_second)} left" if self._per_second else ""


class EpochBar:
    """The current epoch: its steps, its metrics so far and its rate."""

    def __init__(self, bar: "Progress | NotebookBar", epochs: int) -> None:
        self._bar, self._epochs = bar, epochs
        self._task = bar.add_task("", metrics="first step", rate="")
        self._updated, self._steps = 0.0, 0

    def begin(self, epoch: int, steps: int, phase: str = "") -> None:
        """Starts the bar of an epoch, counted from 0, of a phase."""
        name = f"epoch {epoch + 1}/{self._epochs}{phase}"
        self._bar.reset(self._task, description=name, total=steps, metrics="", rate="")
        self._steps = steps

    def step(self, done: int, metrics: str, rate: str) -> None:
        """Reports `done` steps, and the epoch's metrics so far."""
        now = time.monotonic()
        if now - self._updated >= UPDATE_SECONDS or done == self._steps:
            self._updated = now
            self._bar.update(self._task, completed=done, metrics=metrics, rate=f"{rate} images/s")


@contextmanager
def epoch_bar(epochs: int) -> Iterator[EpochBar | None]:
    """A bar for each epoch in turn; None where stderr is not a terminal."""
    from rich.progress import MofNCompleteColumn, TextColumn, TimeRemainingColumn

    end: list[ProgressColumn] = [
        MofNCompleteColumn(),
        TextColumn("{task.fields[metrics]}"),
        TimeRemainingColumn(compact=True),
    ]
    with _bar("{task.description}", end, wide=TextColumn("{task.fields[rate]}")) as bar:
        yield EpochBar(bar, epochs) if bar else None


@contextmanager
def _bar(
    start: str, end: "tuple[ProgressColumn, ...] | list[ProgressColumn]", wide: "ProgressColumn | None" = None
) -> "Iterator[Progress | NotebookBar | None]":
    global _live
    if _bars and in_notebook():
        notebook_bar = NotebookBar()
        try:
            yield notebook_bar
        finally:
            notebook_bar.close()
        return
    from rich.console import Console

    console = Console(stderr=True)
    # Both: rich also believes variables such as FORCE_COLOR, and a pipe gets no bar.
    if not (_bars and sys.stderr.isatty() and console.is_interactive):
        yield None
        return
    from rich.progress import BarColumn, Progress, TextColumn

    columns = [TextColumn(start), BarColumn(bar_width=None), *end]
    if wide and console.width >= WIDE:
        columns.append(wide)
    with Progress(*columns, console=console, expand=True, transient=True) as bar:
        _live = console
        try:
            yield bar
        finally:
            _live = None
