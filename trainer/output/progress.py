"""Progress bars: on a terminal alone, at the bottom of stderr, with the log's lines above them."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress, ProgressColumn

WIDE = 100
"""Columns of a terminal from which on a bar shows more."""

UPDATE_SECONDS = 0.1

_live: "Console | None" = None


def print_line(text: str) -> None:
    """A line on stderr, above the bar where one is shown."""
    if _live is None:
        print(text, file=sys.stderr, flush=True)
    else:
        _live.print(text, markup=False, highlight=False, soft_wrap=True)


@contextmanager
def progress(
    say: Callable[[str], None], what: str, every: float = 5.0
) -> Iterator[Callable[[int, int], None]]:
    """A function of (done, total): a bar on a terminal; else `say` gets a line, at most every few seconds."""
    from rich.progress import MofNCompleteColumn, TextColumn, TimeRemainingColumn

    end = (MofNCompleteColumn(), TextColumn("{task.fields[what]}"), TimeRemainingColumn())
    with _bar("", end) as bar:
        if bar is None:
            yield _lines(say, what, every)
            return
        task = bar.add_task("", what=what, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def _lines(say: Callable[[str], None], what: str, every: float) -> Callable[[int, int], None]:
    said = time.monotonic()

    def report(done: int, total: int) -> None:
        nonlocal said
        if time.monotonic() - said >= every:
            said = time.monotonic()
            say(f"{what}: {done:,} of {total:,}")

    return report


class EpochBar:
    """The present epoch: its steps, its metrics so far and its pace."""

    def __init__(self, bar: "Progress", epochs: int) -> None:
        self._bar, self._epochs = bar, epochs
        self._task = bar.add_task("", metrics="starting", rate="")
        self._updated, self._steps = 0.0, 0

    def begin(self, epoch: int, steps: int) -> None:
        """An epoch, counted from 0."""
        name = f"epoch {epoch + 1}/{self._epochs}"
        self._bar.reset(self._task, description=name, total=steps, metrics="", rate="")
        self._steps = steps

    def step(self, done: int, loss: float, accuracy: float, rate: str) -> None:
        """`done` steps are done; `loss` and `accuracy` are the epoch's so far."""
        now = time.monotonic()
        if now - self._updated >= UPDATE_SECONDS or done == self._steps:
            self._updated = now
            metrics = f"loss {loss:.4f}  accuracy {accuracy:.4f}"
            self._bar.update(self._task, completed=done, metrics=metrics, rate=f"{rate} images/s")


@contextmanager
def epoch_bar(epochs: int) -> Iterator[EpochBar | None]:
    """A bar for each epoch in turn; None where stderr is no terminal."""
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
) -> "Iterator[Progress | None]":
    global _live
    from rich.console import Console

    console = Console(stderr=True)
    # Both: rich also believes variables such as FORCE_COLOR, and a pipe gets no bar.
    if not (sys.stderr.isatty() and console.is_interactive):
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
