"""What the commands for datasets print."""

from typing import TYPE_CHECKING

from trainer.output.table import print_facts, print_table
from trainer.output.units import plural, shape, size

if TYPE_CHECKING:
    from trainer.dataset.inspection.describe import DatasetDescription
    from trainer.preparation.hdf5.index_hdf5 import Indexed
    from trainer.preparation.prepared import PreparedDataset
    from trainer.preparation.reindex import Reindexed
from trainer.cli.pages.words import FEW_NAMES, classes, first, some, text

FEW_CLASSES = 20


def print_prepared(dataset: "PreparedDataset") -> None:
    """Prints the result of `trainer prepare`."""
    facts = [
        ("dataset", dataset.url),
        ("labels", dataset.labels),
        ("classes", classes(dataset.classes)),
        ("image", ", ".join(filter(None, (shape(dataset.image_shape), dataset.resized)))),
        *((name, plural(rows, "image")) for name, rows in dataset.rows.items()),
        *([("split", _division(dataset))] if dataset.divided else []),
        ("shards", f"{dataset.objects:,}, {size(dataset.size)}"),
        ("SHA-256", dataset.identity),
    ]
    if dataset.resumed:
        facts.append(("resumed", f"{plural(dataset.resumed, 'image')} from shards of an interrupted run"))
    if dataset.skipped:
        facts.append(("skipped", some(dataset.skipped, "bad images")))
    if dataset.ignored:
        facts.append(
            (
                "ignored",
                first(dataset.ignored, dataset.ignored_names, "files that are not images or have no label"),
            )
        )
    if dataset.missing:
        facts.append(
            ("missing", first(dataset.missing, dataset.missing_names, "labelled images that do not exist"))
        )
    duplicates = dataset.duplicates
    if duplicates.within_classes:
        facts.append(("duplicates", f"{duplicates.within_classes:,} within a class"))
    if duplicates.over_classes:
        facts.append(("warning", some(duplicates.over_classes, "duplicates across classes")))
    if duplicates.left_out:
        facts.append(("dropped", some(duplicates.left_out, "duplicates of images in another split")))
    facts += [("warning", warning) for warning in dataset.warnings]
    print_facts(facts)


def _division(dataset: "PreparedDataset") -> str:
    """How the splits were made."""
    total = sum(dataset.rows.values())
    parts = "/".join(f"{100 * rows / total:.0f}" for rows in dataset.rows.values())
    return f"{parts} %, at random in each class; --validation and --test set other fractions"


def print_indexed(dataset: "Indexed") -> None:
    """Prints the result of `trainer index` on HDF5 files."""
    print_facts(
        [
            ("dataset", dataset.url),
            ("files", first(len(dataset.files), dataset.files, "indexed in place")),
            ("classes", classes(dataset.classes)),
            ("image", shape(dataset.image_shape)),
            *((name, plural(rows, "image")) for name, rows in dataset.rows.items()),
            *(("assumed", text) for text in dataset.assumed),
            ("SHA-256", dataset.identity),
        ]
    )


def print_reindexed(dataset: "Reindexed") -> None:
    """Prints the result of `trainer index` on a copied dataset."""
    print(
        f"{dataset.url}: all {dataset.objects:,} shards are intact; the ETag of {dataset.changed:,} changed"
    )


def print_inspected(description: "DatasetDescription", *, every_class: bool) -> None:
    """Prints a dataset, as `inspection.describe` describes it."""
    classes, splits, made = description["classes"], description["splits"], description["made"]
    print_facts(
        [
            ("dataset", description["url"]),
            ("version", str(description["version"])),
            ("SHA-256", description["identity"]),
            ("image", f"{shape(description['image_shape'])}, {description['encoding']}"),
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
    names = list(classes)
    if not every_class and len(classes) > FEW_CLASSES:
        names = sorted(classes, key=lambda c: -sum(split["rows_per_class"][c] for split in splits.values()))
        names = [*names[:FEW_NAMES], *names[-FEW_NAMES:]]
        print(f"The {FEW_NAMES} largest and the {FEW_NAMES} smallest classes; --classes lists all")
    print_table(
        ("class", *splits),
        [(name, *(f"{split['rows_per_class'][name]:,}" for split in splits.values())) for name in names],
        right=range(1, len(splits) + 1),
    )
    if description["read"] is not None:
        print()
        print_table(
            ("split", "images read", "different", "values", "mean", "std"),
            [
                (
                    *(name, f"{seen['images']:,}", f"{seen['different_images']:,}"),
                    f"{seen['lowest']} to {seen['highest']}",
                    *(" ".join(f"{value:.1f}" for value in seen[key]) for key in ("mean", "std")),
                )
                for name, seen in description["read"].items()
            ],
            right=(1, 2),
        )
    print()
    source = "the images" if description["read"] is not None else "the index (--read also reads the images)"
    if not description["findings"]:
        print(f"Nothing suspicious in {source}.")
    for sentence in description["findings"]:
        print(f"Suspicious: {sentence}")
