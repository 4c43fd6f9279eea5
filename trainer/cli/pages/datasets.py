"""What the commands for datasets print."""

from typing import TYPE_CHECKING

from trainer.output.table import print_facts, print_table
from trainer.output.units import shape, size
from trainer.urls import beside

if TYPE_CHECKING:
    from trainer.dataset.inspection.describe import DatasetDescription
    from trainer.preparation.hdf5.index_hdf5 import Indexed
    from trainer.preparation.prepare import PreparedDataset
    from trainer.preparation.reindex import Reindexed
from trainer.cli.pages.words import FEW_NAMES, classes, first, some, text, word

FEW_CLASSES = 20


def print_prepared(made: "PreparedDataset") -> None:
    """What `trainer prepare` wrote."""
    facts = [
        ("dataset", made.url),
        ("labels", made.labels),
        ("classes", classes(made.classes)),
        ("image", shape(made.image_shape)),
        *((name, f"{rows:,} images") for name, rows in made.rows.items()),
        ("shards", f"{made.objects:,}, {size(made.size)}"),
        ("SHA-256", made.identity),
    ]
    if made.resumed:
        facts.append(("continued", f"{made.resumed:,} images were in shards of an interrupted start"))
    if made.skipped:
        facts.append(("skipped", some(made.skipped, "bad images")))
    if made.ignored:
        facts.append(
            (
                "ignored",
                first(made.ignored, made.ignored_names, "files that are no images, or have no label"),
            )
        )
    if made.missing:
        facts.append(
            ("missing", first(made.missing, made.missing_names, "images that are labelled and not there"))
        )
    copies = made.duplicates
    if copies.within_classes:
        facts.append(("copies", f"{copies.within_classes:,} images are copies within their class"))
    if copies.over_classes:
        facts.append(("warning", some(copies.over_classes, "images are copies of images of another class")))
    if copies.left_out:
        facts.append(("left out", some(copies.left_out, "copies of images of another split")))
    facts += [("warning", warning) for warning in made.warnings]
    print_facts(facts)


def print_indexed(made: "Indexed") -> None:
    """What `trainer index` found in HDF5 files."""
    print_facts(
        [
            ("dataset", made.url),
            ("files", first(len(made.files), made.files, "that stay where they are")),
            ("classes", classes(made.classes)),
            ("image", shape(made.image_shape)),
            *((name, f"{rows:,} images") for name, rows in made.rows.items()),
            *(("assumed", text) for text in made.assumed),
            ("SHA-256", made.identity),
        ]
    )


def print_reindexed(made: "Reindexed") -> None:
    """What `trainer index` found of a dataset that was copied."""
    print(f"{made.url}: all {made.objects:,} shards are whole; {made.changed:,} had another etag")


def after_prepare(made: "PreparedDataset | Indexed") -> str:
    """The command that may come next."""
    recipe = "resnet50" if min(made.image_shape[:2]) >= 64 else "lab-1"
    urls = f"--set data.url={word(made.url)} --set run.url={word(beside(made.url, 'run'))}"
    return f"trainer train --recipe {recipe} {urls}"


def print_inspected(found: "DatasetDescription", *, every_class: bool) -> None:
    """A dataset, as `dataset.inspect` describes it."""
    classes, splits, made = found["classes"], found["splits"], found["made"]
    print_facts(
        [
            ("dataset", found["url"]),
            ("version", str(found["version"])),
            ("SHA-256", found["identity"]),
            ("image", f"{shape(found['image_shape'])}, {found['encoding']}"),
            ("classes", f"{len(classes):,}"),
            *((name, text(made[name])) for name in ("source", "seed") if made.get(name) is not None),
            *(
                [("skipped", some(made["skipped"], "bad images", made.get("skipped_images")))]
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
