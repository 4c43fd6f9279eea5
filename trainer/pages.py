"""What each command prints for a person. `--json` prints the same values as JSON; see docs/json.md."""

import shlex
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from trainer.output.table import print_facts, print_table
from trainer.output.units import plural, shape, size, span
from trainer.urls import beside

if TYPE_CHECKING:
    from trainer.checkpoints.verify import CheckpointReport
    from trainer.doctor import Finding
    from trainer.preparation.hdf5.index import Indexed
    from trainer.preparation.prepare import PreparedDataset
    from trainer.preparation.reindex import Reindexed
    from trainer.runs.listing import ListedRun
    from trainer.runs.removal import Removable
    from trainer.training.setup.check import Checked

FEW_CLASSES = 20
WORST_CLASSES, SMALL_MATRIX = 12, 12
FEW_NAMES = 5
SHORT_ID = 12


def prepared(made: "PreparedDataset") -> None:
    """What `trainer prepare` wrote."""
    facts = [
        ("dataset", made.url),
        ("labels", made.labels),
        ("classes", _classes(made.classes)),
        ("image", shape(made.image_shape)),
        *((name, f"{rows:,} images") for name, rows in made.rows.items()),
        ("shards", f"{made.objects:,}, {size(made.size)}"),
        ("SHA-256", made.identity),
    ]
    if made.resumed:
        facts.append(("continued", f"{made.resumed:,} images were in shards of an interrupted start"))
    if made.skipped:
        facts.append(("skipped", _some(made.skipped, "bad images")))
    if made.ignored:
        facts.append(
            (
                "ignored",
                _first(made.ignored, made.ignored_names, "files that are no images, or have no label"),
            )
        )
    if made.missing:
        facts.append(
            ("missing", _first(made.missing, made.missing_names, "images that are labelled and not there"))
        )
    copies = made.duplicates
    if copies.within_classes:
        facts.append(("copies", f"{copies.within_classes:,} images are copies within their class"))
    if copies.over_classes:
        facts.append(("warning", _some(copies.over_classes, "images are copies of images of another class")))
    if copies.left_out:
        facts.append(("left out", _some(copies.left_out, "copies of images of another split")))
    facts += [("warning", warning) for warning in made.warnings]
    print_facts(facts)


def indexed(made: "Indexed") -> None:
    """What `trainer index` found in HDF5 files."""
    print_facts(
        [
            ("dataset", made.url),
            ("files", _first(len(made.files), made.files, "that stay where they are")),
            ("classes", _classes(made.classes)),
            ("image", shape(made.image_shape)),
            *((name, f"{rows:,} images") for name, rows in made.rows.items()),
            *(("assumed", text) for text in made.assumed),
            ("SHA-256", made.identity),
        ]
    )


def reindexed(made: "Reindexed") -> None:
    """What `trainer index` found of a dataset that was copied."""
    print(f"{made.url}: all {made.objects:,} shards are whole; {made.changed:,} had another etag")


def after_prepare(made: "PreparedDataset | Indexed") -> str:
    """The command that may come next."""
    recipe = "resnet50" if min(made.image_shape[:2]) >= 64 else "lab-1"
    urls = f"--set data.url={_word(made.url)} --set run.url={_word(beside(made.url, 'run'))}"
    return f"trainer train --recipe {recipe} {urls}"


def after_train(url: str) -> str:
    """The command that may come next."""
    return f"trainer predict --run {_word(url)} --input IMAGES --output PREDICTIONS"


def after_predict(output: str) -> str:
    """Where to look next."""
    return f"read the predictions in {output}/predictions-*, and open {output}/summary.html"


def inspected(found: Mapping[str, Any], *, every_class: bool) -> None:
    """A dataset, as `dataset.inspect` describes it."""
    classes, splits, made = found["classes"], found["splits"], found["made"]
    print_facts(
        [
            ("dataset", found["url"]),
            ("version", str(found["version"])),
            ("SHA-256", found["identity"]),
            ("image", f"{shape(found['image_shape'])}, {found['encoding']}"),
            ("classes", f"{len(classes):,}"),
            *((name, _text(made[name])) for name in ("source", "seed") if made.get(name) is not None),
            *(
                [("skipped", _some(made["skipped"], "bad images", made.get("skipped_images")))]
                if made.get("skipped")
                else []
            ),
        ]
    )
    print()
    print_table(
        ("split", "images", "shards", "size", "chunks", "mean", "std"),
        [
            (
                *(name, f"{split['rows']:,}", f"{split['objects']:,}"),
                *(size(split["object_bytes"]), f"{split['chunks']:,}"),
                *(" ".join(f"{value:.1f}" for value in split[name]) for name in ("mean", "std")),
            )
            for name, split in splits.items()
        ],
        right=range(1, 5),
    )
    print()
    shown = list(classes)
    if not every_class and len(classes) > FEW_CLASSES:
        shown = sorted(classes, key=lambda c: -sum(split["rows_per_class"][c] for split in splits.values()))
        shown = [*shown[:FEW_NAMES], *shown[-FEW_NAMES:]]
        print(f"The {FEW_NAMES} largest classes and the {FEW_NAMES} smallest; --classes lists all")
    print_table(
        ("class", *splits),
        [(name, *(f"{split['rows_per_class'][name]:,}" for split in splits.values())) for name in shown],
        right=range(1, len(splits) + 1),
    )
    if found["read"] is not None:
        print()
        print_table(
            ("split", "images read", "different", "values", "mean", "std"),
            [
                (
                    *(name, f"{seen['images']:,}", f"{seen['different_images']:,}"),
                    f"{seen['lowest']} to {seen['highest']}",
                    *(" ".join(f"{value:.1f}" for value in seen[key]) for key in ("mean", "std")),
                )
                for name, seen in found["read"].items()
            ],
            right=(1, 2),
        )
    print()
    read = "the images" if found["read"] is not None else "the index (--read looks at the images too)"
    if not found["findings"]:
        print(f"Nothing suspicious in {read}.")
    for sentence in found["findings"]:
        print(f"Suspicious: {sentence}")


def recipes(known: Mapping[str, str]) -> None:
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


def planned(plan: "Checked") -> None:
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


def listed(runs: "Sequence[ListedRun]") -> None:
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


def to_remove(runs: "Iterable[Removable]") -> list[str]:
    """A line for each run that is going to be removed."""
    now = time.time()
    return [
        f"{run.url}: {run.objects:,} objects, {size(run.size)}, written to {span(now - run.changed)} ago"
        + (f" (and {run.others:,} other objects there, which stay)" if run.others else "")
        for run in runs
    ]


def evaluated(found: Mapping[str, Any]) -> None:
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


def classified(rows: Sequence[Mapping[str, Any]], top: int) -> None:
    """A few images and their classes, of each the `top` most probable ones."""
    lines: list[tuple[str, ...]] = []
    for row in rows:
        if "error" in row:
            lines.append((row["image"], row["error"], "-"))
        names = [row["image"]] + [""] * top
        lines += [
            (name, found["class_name"], f"{found['probability']:.4f}")
            for name, found in zip(names, row.get("top", ())[:top], strict=False)
        ]
    print_table(("image", "class", "probability"), lines, right=(2,))


def predicted(summary: Mapping[str, Any]) -> None:
    """What a prediction job did."""
    facts = [
        ("predicted", plural(summary["predicted"], "image")),
        *([] if summary["accuracy"] is None else [("accuracy", f"{summary['accuracy']:.4f}")]),
        ("failed", f"{summary['failed']:,}"),
        *((f"  {reason}", f"{count:,}") for reason, count in summary["failed_by"].items()),
        ("passed over", f"{summary['ignored']:,}"),
        *((f"  {rule}", f"{count:,}") for rule, count in summary["ignored_by"].items()),
        ("parts", f"{summary['parts']:,}"),
        ("output", summary["output"]),
    ]
    print_facts(facts)


def checkpoints(found: "Sequence[CheckpointReport]") -> None:
    """What `trainer verify` read."""
    rows = [(f"{c.step:,}", str(c.generation), "; ".join(c.problems) or "whole") for c in found]
    print_table(("step", "generation", "state"), rows, right=(0, 1))


def findings(found: "Iterable[Finding]") -> None:
    """What `trainer doctor` found out."""
    from trainer.doctor import to_fix

    found = list(found)
    print_table(("check", "result", "found"), [(f.what, f.mark, f.found) for f in found])
    for number, finding in enumerate(to_fix(found), 1):
        print(f"{number}. {finding.what}: {finding.remedy}")


def _metric(run: "ListedRun", name: str) -> str:
    reached = run.best or run.last
    return f"{reached.metrics[name]:.4f}" if reached and name in reached.metrics else "-"


def _classes(names: Sequence[str]) -> str:
    more = len(names) - FEW_NAMES
    shown = ", ".join(names[:FEW_NAMES])
    return f"{len(names):,}: {shown}" + (f" and {more:,} more" if more > 0 else "")


def _some(names: Sequence[str], what: str, count: int | None = None) -> str:
    return _first(count or len(names), names[:FEW_NAMES], what)


def _first(count: int, names: Sequence[str], what: str) -> str:
    return f"{count:,} {what}: {'; '.join(names)}" + (" …" if count > len(names) else "")


def _text(value: Any) -> str:
    return "none" if value is None else str(value)


def _word(text: str) -> str:
    return shlex.quote(text)
