"""What the commands for runs print."""

import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from trainer.config.load import AUTO
from trainer.output.table import print_facts, print_table
from trainer.output.units import plural, shape, size, span
from trainer.reporting.usage import money

if TYPE_CHECKING:
    from trainer.checkpoints.verify import CheckpointReport
    from trainer.runs.documents.evaluation_values import EvaluationDocument
    from trainer.runs.find_runs import ListedRun
    from trainer.runs.removal import Removable
    from trainer.training.setup.check import Checked

WORST_CLASSES, SMALL_MATRIX = 12, 12
NO_CHECKPOINT = (
    "no checkpoint yet: the run saves the first one after run.checkpoint.every, or at its end. Until then a "
    "start of it begins at step 0."
)


def print_recipes(known: Mapping[str, str]) -> None:
    """Prints the recipes, each with the first two lines of its text: what it is, and what it reached."""
    rows: list[tuple[str, ...]] = [(AUTO, "chosen by the data and the machine, where none is named", "")]
    for name in sorted(known, key=_by_number):
        first, second = known[name].splitlines()[:2]
        figure = second if second.startswith("#") else ""
        rows.append((name, *(line.removeprefix("# ").rstrip(".") for line in (first, figure))))
    print_table(("recipe", "what it is", "what it reached"), rows)


def _by_number(name: str) -> tuple[str, int]:
    stem = name.rstrip("0123456789")
    return stem, int(name[len(stem) :] or 0)


def print_plan(plan: "Checked") -> None:
    """Prints the plan of a run: the result of `trainer train --check`."""
    names = ("chosen", "because", "to change it")
    arguments = (f"{name} {value}" for name, value in plan.optimizer.items() if name != "name")
    print_facts(
        [
            *zip(names, plan.recipe, strict=False),
            ("dataset", plan.dataset),
            ("images", f"{shape(plan.image_shape)}, {plural(plan.classes, 'class')}"),
            ("rows", ", ".join(f"{name} {rows:,}" for name, rows in plan.rows.items())),
            *(("left out", sentence) for sentence in plan.left_out),
            (
                "steps",
                f"{plural(plan.epochs, 'epoch')} of {plan.steps_per_epoch:,}, {plan.total_steps:,} in total",
            ),
            ("global batch", f"{plural(plan.batch_size, 'image')} in {plural(plan.lanes, 'lane')}"),
            (
                "ranks",
                f"{plan.ranks:,}, each with up to {plural(plan.lanes_per_rank, 'lane')}, and "
                f"{plural(plan.images_at_once, 'image')} at once",
            ),
            (
                "network",
                f"{plan.network}, {plan.parameters:,} parameters, {plan.trained:,} of them trainable",
            ),
            *(("", f"{phase.phase}, {phase.trained:,} parameters trained") for phase in plan.phases),
            ("optimizer", f"{plan.optimizer['name']}, {', '.join(arguments)}"),
            (
                "memory",
                f"about {size(plan.step_bytes)} per step and rank (estimate: weights, gradients, optimizer, "
                "layer outputs; without TensorFlow itself)",
            ),
            ("time", _estimate(plan)),
            *(
                [("cost", f"{money(plan.cost, plan.currency or '')} by run.price (estimate)")]
                if plan.cost
                else []
            ),
            ("run", f"{plan.run} ({plan.state})"),
            *(("weights", url) for url in plan.weights),
            ("checkpoints", plan.checkpoints),
            ("metrics", plan.metrics),
            ("tried", ", ".join(f"{part} {seconds:.1f} s" for part, seconds in plan.tried.items())),
        ]
    )


def _estimate(plan: "Checked") -> str:
    used = f"; {plan.estimate.describe()}" if plan.estimate.describe() else ""
    return (
        f"about {span(plan.estimate.seconds)} on this machine{used} (estimate: steps and validation, by "
        "a few images; small networks are faster)"
    )


def print_runs(runs: "Sequence[ListedRun]") -> None:
    """Prints the runs below a prefix, each with the metrics of its best weights."""
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


def describe_removable(runs: "Iterable[Removable]") -> list[str]:
    """A line for each run that will be deleted."""
    now = time.time()
    return [
        f"{run.url}: {plural(run.objects, 'object')}, {size(run.size)}, "
        f"last written {span(now - run.changed)} ago"
        + (f" (keeping {plural(run.others, 'other object')} there)" if run.others else "")
        for run in runs
    ]


def print_evaluation(evaluation: "EvaluationDocument") -> None:
    """Prints an evaluation of a run's weights on a split."""
    dataset = evaluation["dataset"]
    top5 = [] if evaluation["top5"] is None else [("top 5", f"{evaluation['top5']:.4f}")]
    facts = [
        ("run", f"{evaluation['run']}, {evaluation['weights']} weights"),
        ("dataset", f"{dataset['url']}, {dataset['split']}, {plural(evaluation['rows'], 'image')}"),
        ("loss", f"{evaluation['loss']:.4f}"),
        ("top 1", f"{evaluation['top1']:.4f}"),
        *top5,
        ("calibration error", f"{evaluation['calibration_error']:.4f}"),
        *([("written", evaluation["written"])] if "written" in evaluation else []),
    ]
    print_facts(facts)
    print()
    classes = evaluation["classes"]
    worst = sorted(classes, key=lambda row: row["f1"])[:WORST_CLASSES]
    if len(classes) > len(worst):
        print(f"The {len(worst)} classes with the lowest F1, of {len(classes)}")
    rows = [
        (row["class"], f"{row['rows']:,}", *(_fraction(row[name]) for name in ("precision", "recall", "f1")))
        for row in (worst if len(classes) > len(worst) else classes)
    ]
    print_table(("class", "images", "precision", "recall", "F1"), rows, right=(1, 2, 3, 4))
    if len(classes) <= SMALL_MATRIX:
        print("\nConfusion: classes down, predictions across by the classes' numbers")
        matrix = [
            (f"{number}", row["class"], *map(str, counts))
            for number, (row, counts) in enumerate(zip(classes, evaluation["confusion"], strict=True), 1)
        ]
        numbers = range(1, len(classes) + 1)
        print_table(("", "class", *map(str, numbers)), matrix, right=(0, *(n + 1 for n in numbers)))
    elif evaluation["most_confused"]:
        print()
        pairs = [(p["class"], p["predicted"], f"{p['rows']:,}") for p in evaluation["most_confused"]]
        print_table(("class", "predicted as", "images"), pairs, right=(2,))
    if evaluation["sensitivity"]:
        print(f"\nChanged images, random changes by seed {evaluation['sensitivity']['seed']}")
        changed = [
            (one["change"], f"{one['top1']:.4f}", _fraction(one["top5"]), f"{one['loss']:.4f}")
            for one in evaluation["sensitivity"]["changes"]
        ]
        print_table(("images", "top 1", "top 5", "loss"), changed, right=(1, 2, 3))
    for warning in evaluation["warnings"]:
        print(f"\nwarning: {warning}", file=sys.stderr)


def _fraction(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"


def print_checkpoints(reports: "Sequence[CheckpointReport]") -> None:
    """Prints the result of `trainer verify`, and what to do about it."""
    rows = [(f"{c.step:,}", str(c.generation), "; ".join(c.problems) or "intact") for c in reports]
    print_table(("step", "generation", "state"), rows, right=(0, 1))
    print(_advice(reports))


def _advice(reports: "Sequence[CheckpointReport]") -> str:
    """What to do about damaged checkpoints; `reports` are in any order."""
    whole = [c.step for c in reports if not c.problems]
    if len(whole) == len(reports):
        return "All checkpoints are intact: there is nothing to do."
    if whole:
        return (
            f"Damaged ones are ignored: a restart resumes from step {max(whole):,}. Restore the others "
            "from a backup to keep them, and look for what else writes to this store."
        )
    return (
        "No checkpoint is whole: restore the objects from a backup. Without one, start a new run.url, with "
        "model.weights set to this run's folder if it has published weights."
    )


def _metric(run: "ListedRun", name: str) -> str:
    reached = run.best or run.last
    return f"{reached.metrics[name]:.4f}" if reached and name in reached.metrics else "-"
