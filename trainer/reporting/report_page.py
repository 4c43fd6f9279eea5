"""report/index.html of what is known of a run."""

from collections.abc import Mapping, Sequence

import yaml

from trainer.output.html.charts import Chart, ChartMark, line_chart
from trainer.output.html.render import render_page
from trainer.output.units import span
from trainer.reporting.evaluation_section import EvaluationSection, evaluation_section
from trainer.reporting.headline import headline, state
from trainer.reporting.known import Known
from trainer.runs.timing import EpochTiming

MAX_EPOCHS_IN_TABLE = 60
TOP = 5
"""The classes among which the top-5 accuracy looks."""


def page(known: Known) -> bytes:
    """One HTML file with everything in it."""
    sections = [evaluation_section(one, known.changed) for one in known.evaluations]
    curves, times = _curves(known), _time_charts(known)
    return render_page(
        "report.html",
        kind="Training report",
        title=known.url.rstrip("/").rpartition("/")[2],
        contents=_contents(known, sections, curves),
        url=known.url,
        state=state(known.finished),
        tiles=headline(known),
        curves=curves,
        marked=bool(known.marks),
        restarts=len(known.restarts),
        epochs=_epochs(known.history),
        time_charts=times,
        times=_times(known.timing),
        evaluations=sections,
        samples=known.samples,
        mistakes=known.mistakes,
        pairs=known.pairs,
        heat_maps=known.heat_maps,
        dataset=known.dataset.items(),
        config=yaml.safe_dump(known.run.config.model_dump(mode="json"), sort_keys=False, allow_unicode=True),
        versions=known.versions.items(),
    )


def _contents(
    known: Known, sections: Sequence[EvaluationSection], curves: Sequence[Chart]
) -> list[tuple[str, str]]:
    """Anchor and name of each section that is there, as in the template."""
    parts = [
        ("curves", "Curves", curves),
        ("confusion", "Confusion", sections),
        ("mistakes", "Mistakes", known.mistakes),
        ("heat-maps", "Heat maps", known.heat_maps),
        ("calibration", "Calibration", sections),
        ("classes", "Classes", sections),
        ("time", "Time", known.timing),
        ("data", "Data and configuration", [known.run]),
    ]
    return [(anchor, name) for anchor, name, values in parts if values]


def _curves(known: Known) -> list[Chart]:
    """A chart for each metric, accuracies first; the top 5 where there are more classes than that."""
    always_right = {} if len(known.run.classes) > TOP else {"top5_accuracy", "val_top5_accuracy"}
    names = {name for row in known.history for name in row}.difference(always_right)
    charts = []
    metrics = (name for name in names if not name.startswith("val_"))
    for metric in sorted(metrics, key=lambda name: ("accuracy" not in name, "loss" not in name, name)):
        series = {
            label: [(epoch + 1.0, row[name]) for epoch, row in enumerate(known.history) if name in row]
            for label, name in (("training", metric), ("validation", f"val_{metric}"))
        }
        if f"val_{metric}" not in names:
            series = {metric: series["training"]}
        title = metric.replace("_", " ")
        charts.append(line_chart(title, series, "epoch", "", known.marks, percent="accuracy" in metric))
    return [chart for chart in charts if chart]


def _epochs(history: Sequence[Mapping[str, float]]) -> tuple[Sequence[str], Sequence[Sequence[str]]]:
    """The heading and the rows of a table of epochs, with at most MAX_EPOCHS_IN_TABLE of them."""
    names = list(dict.fromkeys(name for row in history for name in row))
    every = -(-len(history) // MAX_EPOCHS_IN_TABLE) or 1
    chosen = [number for number in range(len(history)) if (number + 1) % every == 0]
    rows = [
        (str(number + 1), *(f"{history[number][n]:.4g}" if n in history[number] else "-" for n in names))
        for number in chosen
    ]
    return ("epoch", *names), rows


PARTS_OF_AN_EPOCH = ("training", "waiting", "validation", "saving")
"""Attributes of `EpochTiming`, in seconds."""


def _time_charts(known: Known) -> list[Chart]:
    rate = [(row.epoch + 1.0, row.images_per_second) for row in known.timing]
    seconds = {
        name: [(row.epoch + 1.0, getattr(row, name)) for row in known.timing] for name in PARTS_OF_AN_EPOCH
    }
    restarts = [ChartMark(place, "") for place in known.restarts]
    charts = [
        line_chart("images per second", {"images/s": rate}, "epoch", "", restarts),
        line_chart("seconds of an epoch", seconds, "epoch", "", restarts),
    ]
    return [chart for chart in charts if chart]


def _times(rows: Sequence[EpochTiming]) -> list[tuple[str, str, str]]:
    """What rank 0 did, how long, and the fraction of the whole."""
    total = {name: sum(getattr(row, name) for row in rows) for name in PARTS_OF_AN_EPOCH}
    whole = sum(row.seconds for row in rows)
    total["the rest"] = max(0.0, whole - sum(total.values()))
    return [(name, span(spent), f"{spent / whole:.1%}") for name, spent in total.items() if whole]
