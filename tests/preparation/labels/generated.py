"""Random datasets with a known truth: images in folders, with labels by folders, by names or by a table."""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from hypothesis import strategies as st

TRAIN, VALIDATION, TEST = "train", "validation", "test"


def is_decimal(text: str) -> bool:
    """Whether a label is a number that need not be written so: 1.0 is the class 1."""
    return bool(re.fullmatch(r"\s*-?[0-9]*\.[0-9]*\s*", text))


Truth = dict[str, tuple[str, str]]
"""Key of an image -> its split and its class; images that have no label are not in it."""

CLASSES = st.one_of(
    st.sampled_from(
        [
            ("cat", "dog"),
            ("0", "1", "2"),
            ("1", "2"),
            ("é", "ü"),
            ("golden retriever", "pug"),
            ("test tube", "train"),
            ("label", "target"),
            ("y", "x", "id"),
            ("BMW 3", "BMW 5"),
            ("a,b", "a;b"),
            ("images", "text"),
            ("Cat", "cat"),
            ("x.1", "x.2"),
            ("01", "1"),
            ("n01443537", "n01629819"),
            ('5" pipe', "it's"),
            ("1.0", "1.5"),
        ]
    ),
    st.lists(
        st.text("abz01 ._-é", min_size=1, max_size=4).filter(lambda text: not is_decimal(text)),
        min_size=2,
        max_size=3,
        unique=True,
    ).map(tuple),
)
STEMS = st.sampled_from(
    [
        "{n}",
        "img{n}",
        "IMG_{n:04}",
        "{n:03}",
        "a b {n}",
        "{c}.{n}",
        "{n}_{c}",
        "é{n}",
        "x{n}.v2",
        "{h}",
        "id",
        "label{n}",
        "#{n}",
    ]
)
SUFFIXES = st.sampled_from([".png", ".jpg", ".JPG", ".jpeg"])


@dataclass
class Made:
    """Files below a root, what is true of them, and arguments of `find`."""

    root: Path
    truth: Truth = field(default_factory=dict)
    arguments: dict[str, tuple[str | None, str]] = field(default_factory=dict)
    texts: dict[str, str | bytes] = field(default_factory=dict)

    def image(self, key: str) -> None:
        place = self.root / key
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(b"")

    def text(self, key: str, text: str | bytes) -> None:
        place = self.root / key
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(text if isinstance(text, bytes) else text.encode())
        self.texts[key] = text


def keys(draw: st.DrawFn, classes: tuple[str, ...], folders: list[str]) -> list[tuple[str, str]]:
    """Distinct keys of images and the class of each, at least two of each class, in random order."""
    form, suffix = draw(STEMS), draw(SUFFIXES)
    per_class = draw(st.integers(2, 4))
    start = draw(st.sampled_from([0, 1, 7]))
    labels = draw(st.permutations([label for label in classes for _ in range(per_class)]))
    found: dict[str, str] = {}
    for place, label in enumerate(labels):
        stem = form.format(n=start + place, c=_safe(label), h=f"{(place + 3) * 7919 % 999983:06x}")
        key = f"{draw(st.sampled_from(folders))}{stem}{suffix}"
        found.setdefault(key, label)
    return list(found.items())


def _safe(label: str) -> str:
    return label.replace("/", "_").strip(". ") or "_"


def quoted(cell: str, delimiter: str, always: bool) -> str:
    special = delimiter in cell or '"' in cell or cell != cell.strip() or always
    return '"' + cell.replace('"', '""') + '"' if special else cell


def lay_table(draw: st.DrawFn, root: Path) -> Made:
    """Images in no class folders and a table that labels all or some of them."""
    made = Made(root)
    classes = tuple(dict.fromkeys(label.strip() for label in draw(CLASSES)))
    folders = draw(
        st.sampled_from(
            [[""], ["images/"], ["part_1/", "part_2/"], ["train/"], ["a/b/", "a/c/"], ["cat/", "dog/"]]
        )
    )
    images = keys(draw, classes, folders)
    for key, _ in images:
        made.image(key)
    unlabelled = draw(st.integers(0, 2)) if len(images) > 5 else 0
    labelled = images[unlabelled:]
    naming: Callable[[str], str] = draw(
        st.sampled_from(
            [
                lambda key: key,
                lambda key: key.rpartition("/")[2],
                lambda key: key.rpartition("/")[2].rpartition(".")[0],
                lambda key: "./" + key,
                lambda key: "C:\\data\\" + key.replace("/", "\\"),
                lambda key: "/home/me/" + key,
            ]
        )
    )
    kind = draw(st.sampled_from(["table", "table", "table", "hot", "json", "lines", "counted"]))
    splits = {key: TRAIN for key, _ in images}
    rows = [(naming(key), label) for key, label in labelled]
    made.truth = {key: (splits[key], label) for key, label in labelled}
    if kind == "json":
        form = draw(st.integers(0, 2))
        value: object = dict(rows)
        if form == 1:
            value = [{"file_name": name, "label": label} for name, label in rows]
        elif form == 2:
            value = {label: [name for name, other in rows if other == label] for _, label in rows}
        made.text("labels.json", json.dumps(value))
        return made
    if kind == "lines":
        separator = draw(st.sampled_from([" ", "\t", ", ", ";", ": "]))
        swap = draw(st.booleans())
        made.text(
            draw(st.sampled_from(["labels.txt", "train.txt", "annotations.txt"])),
            "\n".join(separator.join(row[::-1] if swap else row) for row in rows)
            + draw(st.sampled_from(["", "\n"])),
        )
        return made
    if kind == "counted":
        head = draw(st.sampled_from(["", "label\n", "kind\n"]))
        if head.strip() in {label for _, label in labelled}:
            head = ""
        in_order = sorted(labelled, key=lambda pair: _last_number(pair[0]))
        made.text(
            draw(st.sampled_from(["labels.txt", "labels.csv"])),
            head + "\n".join(label for _, label in in_order),
        )
        return made
    return _lay_columns(draw, made, rows, [key for key, _ in labelled], hot=kind == "hot")


def _last_number(key: str) -> int:
    digits = "".join(c if c.isdigit() else " " for c in key.rpartition(".")[0]).split()
    return int(digits[-1]) if digits else 0


def _lay_columns(
    draw: st.DrawFn, made: Made, rows: list[tuple[str, str]], labelled: list[str], hot: bool
) -> Made:
    """A CSV of the name, the label or a column for each class, and others that say other things."""
    count = len(rows)
    name_head = draw(st.sampled_from(["filename", "id", "image_id", "Path", "img", "scan", ""]))
    label_head = draw(st.sampled_from(["label", "breed", "ClassId", "dx", "kind", "target", "class"]))
    columns: dict[str, list[str]] = {name_head: [name for name, _ in rows]}
    if name_head in {label for _, label in rows}:
        columns = {"file": columns.pop(name_head)}
    if hot:
        classes = list(dict.fromkeys(label for _, label in rows))
        for kind in classes:
            columns[kind] = [str(int(label == kind)) for _, label in rows]
    else:
        columns[label_head] = [label for _, label in rows]
    extra = {
        "index": [str(place) for place in range(count)],
        "number": [str(place + 1) for place in draw(st.permutations(range(count)))],
        "id": [str(place) for place in draw(st.permutations(range(count)))],
        "age": [str(place % 3) for place in range(count)],
        "sex": ["mf"[place % 2] for place in range(count)],
        "class_name": [f"the {label}" for _, label in rows],
        "y": [str(place % 2) for place in range(count)],
        "x": [str(place % 5) for place in range(count)],
        "width": ["64"] * count,
        "original": [name for name, _ in draw(st.permutations(rows))],
        "file": [f"old_{place}.png" for place in range(count)],
        "split": [draw(st.sampled_from(["train", "Training"]))] * count,
        "data set": ["train" if place % 3 else "test" for place in range(count)],
        "fold": [str(place % 2) for place in range(count)],
    }
    chosen = draw(st.lists(st.sampled_from(sorted(extra)), max_size=2, unique=True))
    for head in chosen:
        if head not in columns and len(columns) > 1:
            columns[head] = extra[head]
            if head == "data set":
                for key, split in zip(labelled, extra[head], strict=True):
                    made.truth[key] = (split, made.truth[key][1])
    heads = draw(st.permutations(list(columns)))
    with_heads = hot or len(heads) > 2 or draw(st.integers(0, 3)) > 0
    lines = ([tuple(heads)] if with_heads else []) + list(
        zip(*(columns[head] for head in heads), strict=True)
    )
    delimiter = draw(st.sampled_from([",", ",", ";", "\t", "|"]))
    always = draw(st.booleans())
    end = draw(st.sampled_from(["\n", "\r\n"]))
    text = end.join(delimiter.join(quoted(cell, delimiter, always) for cell in line) for line in lines) + end
    name = draw(st.sampled_from(["labels.csv", "train.csv", "metadata.tsv", "meta/table.csv", "GT.CSV"]))
    made.text(name, ("\ufeff" if draw(st.booleans()) else "") + text)
    if with_heads and draw(st.integers(0, 3)) == 0 and not hot:
        made.arguments["columns"] = (next(iter(columns)) or None, label_head)
    return made


def lay_folders(draw: st.DrawFn, root: Path) -> Made:
    """Images in class folders, of splits or not, with what people leave beside them."""
    made = Made(root)
    classes = tuple(label for label in draw(CLASSES) if label.strip(". /'\"") == label)
    if len(set(classes)) < 2:
        classes = ("apple", "pear")
    names = draw(
        st.sampled_from(
            [
                {"": TRAIN},
                {"train/": TRAIN, "test/": TEST},
                {"Training/": TRAIN, "Testing/": TEST},
                {"seg_train/seg_train/": TRAIN, "seg_test/seg_test/": TEST},
                {"train/": TRAIN, "val/": VALIDATION, "test/": TEST},
                {"data/train/": TRAIN, "data/dev/": VALIDATION},
                {"images/": TRAIN},
                {"a/": TRAIN, "b/": TEST},
            ]
        )
    )
    for prefix, split in names.items():
        found = keys(draw, classes, [""])
        if len({label for _, label in found}) < len(classes):  # one name for all
            found = [(f"{place}.png", label) for place, label in enumerate((*classes, *classes))]
        for key, label in found:
            made.image(f"{prefix}{label}/{key}")
            made.truth[f"{prefix}{label}/{key}"] = (split, label)
    for stray in draw(
        st.lists(st.sampled_from(["readme", "unlabelled", "thumbs", "notes", "sizes"]), max_size=2)
    ):
        if stray == "readme":
            made.text("README.txt", "The images were taken in 2020.\n")
        elif stray == "unlabelled":
            made.image("unlabelled/1.png")
        elif stray == "thumbs":
            made.image("@eaDir/1.png")
        elif stray == "notes":
            made.text("notes.csv", "day,weather\nmonday,fine\ntuesday,rain\n")
        else:
            made.text(
                "sizes.csv", "file,width\n" + "".join(f"{key},{n % 3}\n" for n, key in enumerate(made.truth))
            )
    return made


def lay_names(draw: st.DrawFn, root: Path) -> Made:
    """Images whose names begin or end with their class."""
    made = Made(root)
    classes = draw(st.sampled_from([("cat", "dog"), ("red car", "bus"), ("a1b", "c")]))
    form = draw(
        st.sampled_from(["{c}.{n}.png", "{c}_{n}.png", "{c} ({n}).png", "{n}_{c}.png", "{c}{n:03}.png"])
    )
    for place in range(draw(st.integers(4, 8))):
        label = classes[place % 2]
        key = form.format(n=place, c=label)
        made.image(key)
        made.truth[key] = (TRAIN, label)
    return made
