"""What `trainer predict` prints."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from trainer.output.table import print_facts, print_table
from trainer.output.units import plural

if TYPE_CHECKING:
    from trainer.inference.forms import PredictionRow, ReadError
    from trainer.inference.results.prediction_summary import PredictionSummary


def print_classified(rows: "Sequence[PredictionRow | ReadError]", top: int) -> None:
    """Prints a few images, each with its `top` most probable classes."""
    lines: list[tuple[str, ...]] = []
    for row in rows:
        if "top" not in row:
            lines.append((row["image"], row["error"], "-"))
            continue
        names = [row["image"]] + [""] * top
        lines += [
            (name, prediction["class_name"], f"{prediction['probability']:.4f}")
            for name, prediction in zip(names, row["top"][:top], strict=False)
        ]
    print_table(("image", "class", "probability"), lines, right=(2,))


def print_predicted(summary: "PredictionSummary") -> None:
    """Prints the summary of a prediction job."""
    facts = [
        ("predicted", plural(summary["predicted"], "image")),
        *([] if summary["accuracy"] is None else [("accuracy", f"{summary['accuracy']:.4f}")]),
        ("failed", f"{summary['failed']:,}"),
        *((f"  {reason}", f"{count:,}") for reason, count in summary["failed_by"].items()),
        ("skipped", f"{summary['ignored']:,}"),
        *((f"  {rule}", f"{count:,}") for rule, count in summary["ignored_by"].items()),
        ("parts", f"{summary['parts']:,}"),
        ("predictions", f"{summary['output']}/predictions-*"),
        ("summary", f"{summary['output']}/summary.html"),
    ]
    print_facts(facts)
