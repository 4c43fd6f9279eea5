"""summary.html: one file for a person, with classes, probabilities, samples and errors."""

import base64
import io
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from PIL import Image

from trainer.inference.forms import Prediction
from trainer.inference.sources.image import ImageSource

SIDE = 96
"""Side of a sample, in pixels."""
MAX_ERRORS_SHOWN = 30
"""Classes and errors that are listed."""

_STYLE = """
body{font:15px/1.5 system-ui,sans-serif;margin:0 auto;max-width:60rem;padding:1rem;color:#1a1a1a}
table{border-collapse:collapse;width:100%}td,th{padding:.15rem .5rem;text-align:left;vertical-align:top;
overflow-wrap:anywhere}th{overflow-wrap:normal}td.n{text-align:right;white-space:nowrap;font-variant-numeric:tabular-nums}
.bar{background:#3b6ea5;height:.8rem;min-width:1px}.samples{display:flex;flex-wrap:wrap;gap:.75rem}
figure{margin:0;width:8rem;font-size:.8rem;overflow-wrap:anywhere}img{max-width:100%}
h2{font-size:1.1rem;margin:1.5rem 0 .5rem}
"""


def page(
    source: ImageSource,
    summary: Mapping[str, Any],
    samples: Sequence[Prediction],
    errors: Sequence[Mapping[str, str]],
) -> bytes:
    """The HTML of a summary. Samples that cannot be read any more are left out."""
    facts = {
        "images": f"{summary['images']:,}",
        "predicted": f"{summary['predicted']:,}",
        "failed": f"{summary['failed']:,}",
        **({} if summary["accuracy"] is None else {"accuracy": f"{summary['accuracy']:.4f}"}),
        "skipped": f"{summary['ignored']:,}",
        **{f"skipped by {rule}": f"{count:,}" for rule, count in summary["ignored_by"].items()},
        "run": summary["run"],
        "weights": f"{summary['weights']}, SHA-256 {summary['weights_sha256']}",
        "input": summary["input"],
        "output": summary["output"],
    }
    sections = [
        f"<h1>Predictions</h1>{_table(facts.items())}",
        f"<h2>Classes</h2>{_bars(_classes(summary))}",
        f"<h2>Probability of the class</h2>{_bars(_bins(summary['probabilities']))}",
    ]
    if shown := "".join(filter(None, (_sample(source, sample) for sample in samples))):
        sections.append(f"<h2>Samples</h2><div class='samples'>{shown}</div>")
    if errors:
        rows = [(row["image"], row["error"]) for row in errors[:MAX_ERRORS_SHOWN]]
        sections.append(
            f"<h2>Failed ({min(MAX_ERRORS_SHOWN, len(errors))} of {len(errors):,})</h2>{_table(rows)}"
        )
    return (
        "<!doctype html><html lang='en'><meta charset='utf-8'>"
        "<meta name='viewport' content='width=device-width,initial-scale=1'><title>Predictions</title>"
        f"<link rel='icon' href='data:,'><style>{_STYLE}</style>{''.join(sections)}</html>\n"
    ).encode("utf-8", "backslashreplace")


def _classes(summary: Mapping[str, Any]) -> list[tuple[str, int, str]]:
    found = list(summary["classes"].items())
    rows = [
        (name, of["images"], f"mean probability {of['mean_probability']:.3f}")
        for name, of in found[:MAX_ERRORS_SHOWN]
    ]
    if rest := found[MAX_ERRORS_SHOWN:]:
        rows.append((f"{len(rest):,} more classes", sum(of["images"] for _, of in rest), ""))
    return rows


def _bins(histogram: Sequence[int]) -> list[tuple[str, int, str]]:
    bins = len(histogram)
    return [(f"{i / bins:.1f} to {(i + 1) / bins:.1f}", count, "") for i, count in enumerate(histogram)]


def _table(rows: Any) -> str:
    cells = "".join(f"<tr><th>{escape(str(a))}<td>{escape(str(b))}" for a, b in rows)
    return f"<table>{cells}</table>"


def _bars(rows: Sequence[tuple[str, int, str]]) -> str:
    most = max((count for _, count, _ in rows), default=0) or 1
    cells = "".join(
        f"<tr><td style='width:35%'>{escape(name)}<td class='n'>{count:,}<td style='width:40%' "
        f"title='{escape(note)}'><div class='bar' style='width:{100 * count / most:.1f}%'></div>"
        for name, count, note in rows
    )
    return f"<table>{cells}</table>"


def _sample(source: ImageSource, prediction: Prediction) -> str:
    pixels = source.show(prediction.image)
    if pixels is None:
        return ""
    image, file = Image.fromarray(pixels), io.BytesIO()
    image.thumbnail((SIDE, SIDE))
    image.save(file, "JPEG", quality=80)
    data = base64.b64encode(file.getvalue()).decode()
    name = escape(prediction.image)
    return (
        f"<figure><img alt='{name}' src='data:image/jpeg;base64,{data}'><figcaption>"
        f"<b>{escape(prediction.class_name)}</b> {prediction.probability:.2f}<br>{name}</figcaption></figure>"
    )
