"""What the commands for runs print."""

import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from trainer.output.table import print_facts, print_table
from trainer.output.units import shape, size, span

if TYPE_CHECKING:
    from trainer.checkpoints.verify import CheckpointReport
    from trainer.runs.documents.evaluation_values import EvaluationDocument
    from trainer.runs.find_runs import ListedRun
    from trainer.runs.removal import Removable
    from trainer.training.setup.check import Checked
from trainer.cli.pages.words import word

WORST_CLASSES, SMALL_MATRIX = 12, 12


def after_train(url: str) -> str:
    """The command that may come next."""
    return f"trainer predict --run {word(url)} --input IMAGES --output PREDICTIONS"


def print_recipes(known: Mapping[str, str]) -> None:
    """The recipes, each with what the first two lines of its text say: what it is, and what it reached."""
    rows = []
    for name in sorted(known, key=_by_number):
        first, second = known[name].splitlines()[:2]
        figure = second if second.startswith("#") else ""
        rows.append((name, *(line.removeprefix("# ").rstrip(".") for line in (first, figure))))
    print_table(("recipe", "what it is", "what it reached"), rows)


def _by_number(name: str) -> tuple[str, int]:
    stem = name.rstrip("0123456789")
    return stem, int(name[len(stem) :] or 0)


def print_plan(plan: "Checked") -> None:
    """What a run would do, as `trainer train --check` found out."""
    arguments = (f"{name} {value}" for name, value in plan.optimizer.items() if name != "name")
    print_facts(
        [
            ("dataset", plan.dataset),
            ("images", f"{shape(plan.image_shape)}, {plan.classes:,} classes"),
            ("rows", ", ".join(f"{name} {rows:,}" for name, rows in plan.rows.items())),
            *(("left out", sentence) for sentence in plan.left_out),
            ("steps", f"{plan.epochs:,} epochs of {plan.steps_per_epoch:,}, {plan.total_steps:,} in all"),
            ("global batch", f"{plan.batch_size:,} images in {plan.lanes:,} lanes"),
            (
                "ranks",
                f"{plan.ranks:,}, each with up to {plan.lanes_per_rank:,} lanes and "
                f"{plan.images_at_once:,} images at once",
            ),
            ("network", f"{plan.network}, {plan.parameters:,} parameters, {plan.trained:,} of them trained"),
            ("optimizer", f"{plan.optimizer['name']}, {', '.join(arguments)}"),
            (
                "memory",
                f"about {size(plan.step_bytes)} a step on each rank (estimate: weights, gradients, "
                "optimizer, layers' outputs; without TensorFlow itself)",
            ),
            ("run", f"{plan.run} ({plan.state})"),
            *(("weights", url) for url in plan.weights),
            ("checkpoints", plan.checkpoints),
            ("metrics", plan.metrics),
            ("tried", ", ".join(f"{what} {took:.1f} s" for what, took in plan.tried.items())),
        ]
    )


def print_runs(runs: "Sequence[ListedRun]") -> None:
    """The runs below a prefix. What a run reached is that of its best weights."""
    now = time.time()
    print_table(
        ("run", "state", "epoch", "step", "best", "val acc", "test acc", "changed"),
        [
            (
                *(run.name, run.state, f"{run.epochs}/{run.of}", f"{run.step:,}"),
                str(run.best.epoch) if run.best else "-",
                _metric(run, "val_accuracy"),
                _metric(run, "test_accuracy"),
                f"{span(now - run.changed)} ago",
            )
            for run in runs
        ],
        right=range(2, 7),
    )


def print_removable(runs: "Iterable[Removable]") -> list[str]:
    """A line for each run that is going to be removed."""
    now = time.time()
    return [
        f"{run.url}: {run.objects:,} objects, {size(run.size)}, written to {span(now - run.changed)} ago"
        + (f" (and {run.others:,} other objects there, which stay)" if run.others else "")
        for run in runs
    ]


def print_evaluation(found: "EvaluationDocument") -> None:
    """What a run's weights reached on a split."""
    of = found["dataset"]
    top5 = [] if found["top5"] is None else [("top 5", f"{found['top5']:.4f}")]
    facts = [
        ("run", f"{found['run']}, {found['weights']} weights"),
        ("dataset", f"{of['url']}, {of['split']}, {found['rows']:,} images"),
        ("loss", f"{found['loss']:.4f}"),
        ("top 1", f"{found['top1']:.4f}"),
        *top5,
        ("calibration error", f"{found['calibration_error']:.4f}"),
        *([("written", found["written"])] if "written" in found else []),
    ]
    print_facts(facts)
    print()
    classes = found["classes"]
    shown = sorted(classes, key=lambda one: one["f1"])[:WORST_CLASSES]
    if len(classes) > len(shown):
        print(f"The {len(shown)} classes with the lowest F1, of {len(classes)}")
    rows = [
        (one["class"], f"{one['rows']:,}", *(_share(one[name]) for name in ("precision", "recall", "f1")))
        for one in (shown if len(classes) > len(shown) else classes)
    ]
    print_table(("class", "images", "precision", "recall", "F1"), rows, right=(1, 2, 3, 4))
    if len(classes) <= SMALL_MATRIX:
        print("\nConfusion: classes down, predictions across")
        names = [one["class"] for one in classes]
        matrix = [(name, *map(str, row)) for name, row in zip(names, found["confusion"], strict=True)]
        numbers = tuple(range(1, len(names) + 1))
        print_table(("", *names), matrix, right=numbers)
    elif found["most_confused"]:
        print()
        pairs = [(p["class"], p["predicted"], f"{p['rows']:,}") for p in found["most_confused"]]
        print_table(("class", "taken for", "images"), pairs, right=(2,))
    if found["sensitivity"]:
        print()
        print_table(
            ("images", "top 1"), [(k, f"{v:.4f}") for k, v in found["sensitivity"].items()], right=(1,)
        )
    for warning in found["warnings"]:
        print(f"\nwarning: {warning}", file=sys.stderr)


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"


def print_checkpoints(found: "Sequence[CheckpointReport]") -> None:
    """What `trainer verify` read."""
    rows = [(f"{c.step:,}", str(c.generation), "; ".join(c.problems) or "whole") for c in found]
    print_table(("step", "generation", "state"), rows, right=(0, 1))


def _metric(run: "ListedRun", name: str) -> str:
    reached = run.best or run.last
    return f"{reached.metrics[name]:.4f}" if reached and name in reached.metrics else "-"
