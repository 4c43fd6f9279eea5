"""A bar in a notebook: one line of text, which is replaced as it changes, by what every notebook has."""

import sys
import time
from collections.abc import Mapping
from typing import Any

from trainer.output.units import span

WIDTH = 30
"""Characters of a bar."""
UPDATE_SECONDS = 0.2


def in_notebook() -> bool:
    """Whether this process is the kernel of a notebook."""
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return getattr(shell, "kernel", None) is not None


class NotebookBar:
    """The bar of one task, with the methods of `rich.progress.Progress` that are used here."""

    def __init__(self) -> None:
        from IPython.display import display

        self._handle = display({"text/plain": ""}, raw=True, display_id=True)
        self._values: dict[str, Any] = {}
        self._shown = 0.0

    def add_task(self, description: str, **values: Any) -> Any:
        """The number of the only task."""
        self.reset(0, description=description, **values)
        return 0

    def reset(self, task: Any, **values: Any) -> None:
        """Starts over, with other values."""
        self._values = {"completed": 0, "total": None} | values
        self._began = time.monotonic()
        self._show()

    def update(self, task: Any, **values: Any) -> None:
        """Sets values, and shows them from time to time."""
        self._values |= values
        ended = self._values["completed"] == self._values["total"]
        if ended or time.monotonic() - self._shown >= UPDATE_SECONDS:
            self._show()

    def close(self) -> None:
        """Removes the bar."""
        self._handle.update({"text/plain": ""}, raw=True)

    def _show(self) -> None:
        self._shown = time.monotonic()
        self._handle.update({"text/plain": bar_line(self._values, self._shown - self._began)}, raw=True)


def bar_line(values: Mapping[str, Any], seconds: float) -> str:
    """The text of a bar, `seconds` after its start: what, how far, its other values and the time left.

    >>> bar_line({"description": "epoch 1/2", "completed": 1, "total": 2, "metrics": "loss 0.5"}, 3)
    'epoch 1/2 ███████████████░░░░░░░░░░░░░░░ 1/2 loss 0.5 3 s left'
    """
    done, total = values["completed"], values["total"]
    parts = [values.get("description", "")]
    if total:
        full = WIDTH * done // total
        parts += ["█" * full + "░" * (WIDTH - full), f"{done:,}/{total:,}"]
    parts += [str(values.get(name, "")) for name in ("unit", "metrics", "rate")]
    if total and 0 < done < total:
        parts.append(f"{span(seconds * (total - done) / done)} left")
    return " ".join(filter(None, parts))
