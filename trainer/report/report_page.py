"""report/index.html of what is known of a run."""

import base64
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from itertools import pairwise
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray
from PIL import Image

from trainer.output.units import span
from trainer.report.charts import line_chart, matrix
from trainer.runs.run_document import RunDocument, RunResult
from trainer.runs.timing import EpochTiming

SIDE = 96
"""Side of an image, in pixels: smaller ones are enlarged."""
MAX_MISTAKES_SHOWN = 24

_STYLE = """
*{box-sizing:border-box}body{font:15px/1.5 system-ui,sans-serif;margin:0 auto;max-width:64rem;padding:1rem;
color:#1a1a1a;background:#fff}h1{font-size:1.5rem;margin:.25rem 0;overflow-wrap:anywhere}
h2{font-size:1.15rem;margin:2rem 0 .5rem;border-bottom:1px solid #ddd}
table{border-collapse:collapse;max-width:100%}td,th{padding:.15rem .75rem .15rem 0;text-align:left;
vertical-align:top;overflow-wrap:anywhere}table th{overflow-wrap:normal}
td.n,th.n{text-align:right;font-variant-numeric:tabular-nums}
.wide{overflow-x:auto}.charts{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,26rem),1fr));
gap:1rem}figure{margin:0}.chart svg{width:100%;height:auto}.chart{max-width:44rem}
svg text{font-size:12px;fill:#444}
.grid{stroke:#e5e5e5}.mark{stroke:#777;stroke-dasharray:4 4}.legend span{margin-right:1rem;white-space:nowrap}
.legend i{display:inline-block;width:.9em;height:.9em;margin-right:.35em;border-radius:2px}
.images{display:flex;flex-wrap:wrap;gap:.75rem}
.images figure{width:96px;font-size:.75rem;overflow-wrap:anywhere}
.images img{width:96px;height:auto;image-rendering:pixelated;display:block}
.warning{background:#fff4e5;padding:.5rem .75rem;border-left:4px solid #c2410c}
pre{white-space:pre-wrap;overflow-wrap:anywhere;background:#f6f6f6;padding:.75rem;font-size:.85rem}
@media print{body{max-width:none;padding:0}h2{break-after:avoid}figure,tr{break-inside:avoid}}
"""


@dataclass(frozen=True)
class Picture:
    """An image, uint8 (H, W, 3), and what is written below it."""

    pixels: NDArray[np.uint8]
    text: str


@dataclass(frozen=True)
class Known:
    """All that a report can show. `evaluations` are those of `trainer evaluate`, by split and weights."""

    url: str
    run: RunDocument
    dataset: Mapping[str, str]
    history: Sequence[Mapping[str, float]]
    finished: RunResult | None
    evaluations: Sequence[Mapping[str, Any]] = ()
    samples: Sequence[Picture] = ()
    mistakes: Sequence[Picture] = ()
    timing: Sequence[EpochTiming] = ()
    versions: Mapping[str, str] = field(default_factory=dict)

    @property
    def restarts(self) -> list[float]:
        """Where on the axis of epochs, counted from 1, another process continued."""
        pairs = pairwise(self.timing)
        return [after.epoch + 0.5 for before, after in pairs if before.generation != after.generation]


def page(known: Known) -> bytes:
    """One HTML file with everything in it."""
    sections = [
        ("", _head(known)),
        ("Curves", _curves(known)),
        ("Where the time went", _time(known)),
        *((f"Evaluation: {_named(one)}", _evaluation(one)) for one in known.evaluations),
        ("Images of the training", _pictures(known.samples)),
        ("Misclassified, the surest first", _pictures(known.mistakes)),
        ("Data", _table(known.dataset.items())),
        ("Configuration", f"<pre>{escape(_config(known.run))}</pre>"),
        ("Made with", _table(known.versions.items()) if known.versions else ""),
    ]
    body = "".join(f"<h2>{escape(title)}</h2>{text}" if title else text for title, text in sections if text)
    title = escape(known.url.rstrip("/").rpartition("/")[2])
    return (
        "<!doctype html><html lang='en'><meta charset='utf-8'>"
        "<meta name='viewport' content='width=device-width,initial-scale=1'>"
        f"<title>{title}</title><link rel='icon' href='data:,'><style>{_STYLE}</style>"
        f"<body><h1>{title}</h1>{body}</body></html>\n"
    ).encode("utf-8", "backslashreplace")


def _head(known: Known) -> str:
    config = known.run.config
    facts = {"run": known.url, "network": config.model.name, "classes": f"{len(known.run.classes):,}"}
    state = "not finished"
    if (finished := known.finished) is not None:
        state = f"finished after {finished.epochs:,} epochs, {finished.steps:,} steps"
        state += " (stopped early)" if finished.stopped_early else ""
        facts["weights of epoch"] = str(finished.published.epoch)
        facts |= {name: f"{value:.4f}" for name, value in sorted(finished.published.metrics.items())}
    return _table([*facts.items(), ("state", state)])


def _curves(known: Known) -> str:
    names = {name for row in known.history for name in row}
    charts = []
    for metric in sorted(name for name in names if not name.startswith("val_")):
        series = {
            label: [(epoch + 1.0, row[name]) for epoch, row in enumerate(known.history) if name in row]
            for label, name in (("training", metric), ("validation", f"val_{metric}"))
        }
        if f"val_{metric}" not in names:
            series = {metric: series["training"]}
        charts.append(line_chart(series, "epoch", metric.replace("_", " "), known.restarts))
    note = "<p>Dashed: the run was started again.</p>" if known.restarts else ""
    shown = "".join(charts)
    return f"<div class='charts'>{shown}</div>{note}" if shown else ""


def _time(known: Known) -> str:
    rows = known.timing
    parts = ("training", "waiting", "validation", "saving")
    seconds = {name: [(row.epoch + 1.0, getattr(row, name)) for row in rows] for name in parts}
    rate = [(row.epoch + 1.0, row.images_per_second) for row in rows]
    charts = [
        line_chart({"images/s": rate}, "epoch", "images/s", known.restarts),
        line_chart(seconds, "epoch", "seconds", known.restarts),
    ]
    total = {name: sum(getattr(row, name) for row in rows) for name in parts}
    whole = sum(row.seconds for row in rows)
    total["the rest"] = max(0.0, whole - sum(total.values()))
    shares = [(name, span(spent), f"{spent / whole:.1%}") for name, spent in total.items() if whole]
    table = _columns(("rank 0", "time", "share"), shares, 2)
    return f"<div class='charts'>{''.join(charts)}</div>{table}" if rows else ""


def _evaluation(found: Mapping[str, Any]) -> str:
    facts = {"images": f"{found['rows']:,}", "loss": f"{found['loss']:.4f}", "top 1": f"{found['top1']:.4f}"}
    if found["top5"] is not None:
        facts["top 5"] = f"{found['top5']:.4f}"
    facts["calibration error"] = f"{found['calibration_error']:.4f}"
    facts |= {name: f"{share:.4f}" for name, share in found["sensitivity"].items()}
    names = [one["class"] for one in found["classes"]]
    warnings = "".join(f"<p class='warning'>{escape(text)}</p>" for text in found["warnings"])
    bins = [one for one in found["calibration"] if one]
    calibration = line_chart(
        {
            "accuracy": [(one["probability"], one["accuracy"]) for one in bins],
            "if calibrated": [(0.0, 0.0), (1.0, 1.0)],
        },
        "probability",
        "accuracy",
    )
    pairs = [(one["class"], one["predicted"], f"{one['rows']:,}") for one in found["most_confused"][:10]]
    return (
        f"{warnings}{_table(facts.items())}{matrix(np.array(found['confusion']), names)}"
        f"{_columns(('class', 'predicted as', 'images'), pairs, 1)}{calibration}"
        f"{_columns(('class', 'images', 'precision', 'recall', 'F1'), _class_rows(found), 4)}"
    )


def _class_rows(found: Mapping[str, Any]) -> list[tuple[str, ...]]:
    return [
        (
            one["class"],
            f"{one['rows']:,}",
            *("-" if one[name] is None else f"{one[name]:.3f}" for name in ("precision", "recall", "f1")),
        )
        for one in found["classes"]
    ]


def _named(found: Mapping[str, Any]) -> str:
    return f"{found['dataset']['split']}, {found['weights']} weights"


def _pictures(pictures: Sequence[Picture]) -> str:
    if not pictures:
        return ""
    shown = "".join(
        f"<figure><img alt='{escape(picture.text)}' src='{_data_url(picture.pixels)}'>"
        f"<figcaption>{escape(picture.text)}</figcaption></figure>"
        for picture in pictures
    )
    return f"<div class='images'>{shown}</div>"


def _data_url(pixels: NDArray[np.uint8]) -> str:
    image, file = Image.fromarray(pixels), io.BytesIO()
    image.thumbnail((SIDE, SIDE))
    image.save(file, "PNG" if max(pixels.shape) <= SIDE else "JPEG")
    kind = "png" if max(pixels.shape) <= SIDE else "jpeg"
    return f"data:image/{kind};base64,{base64.b64encode(file.getvalue()).decode()}"


def _config(run: RunDocument) -> str:
    return yaml.safe_dump(run.config.model_dump(mode="json"), sort_keys=False, allow_unicode=True)


def _table(rows: Iterable[tuple[str, str]]) -> str:
    cells = "".join(f"<tr><th>{escape(name)}<td>{escape(value)}" for name, value in rows)
    return f"<table>{cells}</table>"


def _columns(header: Sequence[str], rows: Sequence[Sequence[str]], numbers: int) -> str:
    """A table whose last `numbers` columns are numbers."""
    if not rows:
        return ""

    def line(cells: Sequence[str], kind: str) -> str:
        text = len(cells) - numbers
        return "<tr>" + "".join(
            f"<{kind} class='n'>{escape(cell)}" if place >= text else f"<{kind}>{escape(cell)}"
            for place, cell in enumerate(cells)
        )

    body = "".join(line(row, "td") for row in rows)
    return f"<div class='wide'><table>{line(header, 'th')}{body}</table></div>"
