"""What `trainer log` prints."""

import shutil
from collections.abc import Sequence
from typing import TYPE_CHECKING

from trainer.config.explain import quoted
from trainer.errors import ConfigError
from trainer.output.table import print_facts, print_table
from trainer.output.text_chart import Point, text_chart
from trainer.output.units import span
from trainer.reporting.usage import hours, money

if TYPE_CHECKING:
    from trainer.reporting.run_log import LoggedRun

CHART_LINES = 16
MAX_COLUMNS = 120


def print_log(log: "LoggedRun") -> None:
    """Prints a line for each epoch, and what they took together."""
    names = list(dict.fromkeys(name for row in log["epochs"] for name in row["metrics"]))
    rows = [
        (
            f"{row['epoch']}{' best' if row['epoch'] == log['best'] else ''}",
            *(f"{row['metrics'][name]:.4g}" if name in row["metrics"] else "-" for name in names),
            "-" if row["seconds"] is None else span(row["seconds"]),
            "-" if row["images_per_second"] is None else f"{row['images_per_second']:,.0f}",
        )
        for row in log["epochs"]
    ]
    if rows:
        print_table(("epoch", *names, "time", "images/s"), rows, right=range(1, len(names) + 3))
        print()
    used = [("GPU hours", log["gpu_hours"]), ("core hours", log["core_hours"])]
    print_facts(
        [
            ("run", log["run"]),
            ("epochs", f"{len(rows)} of {log['of']}, {'finished' if log['finished'] else 'not finished'}"),
            ("time", f"{span(log['without_pauses'])} without pauses"),
            *((name, hours(count)) for name, count in used if count),
            *([] if log["cost"] is None else [("cost", money(log["cost"], log["currency"] or ""))]),
        ]
    )


def print_curves(log: "LoggedRun", metrics: Sequence[str]) -> None:
    """Prints the curves of metrics in training and validation. Raises ConfigError for one that no epoch
    has."""
    known = list(dict.fromkeys(name for row in log["epochs"] for name in row["metrics"]))
    width = min(MAX_COLUMNS, shutil.get_terminal_size().columns)
    for metric in metrics:
        lines: dict[str, list[Point]] = {}
        for label, name in (("training", metric), ("validation", f"val_{metric}")):
            if name in known:
                lines[label] = [
                    (row["epoch"], row["metrics"][name]) for row in log["epochs"] if name in row["metrics"]
                ]
        if not lines:
            raise ConfigError(
                f"--metric: no epoch has a metric {quoted(metric)}",
                f"Known: {', '.join(known) or 'none yet'}",
            )
        if f"val_{metric}" not in known:
            lines = {metric: lines["training"]}
        print("\n".join(text_chart(f"{metric} by epoch", lines, width=width, height=CHART_LINES)))
