"""HDF5 files in the forms in which the world writes them, and what must be read from each."""

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np
from numpy.typing import NDArray
from PIL import Image

ROWS, HEIGHT, WIDTH = 24, 12, 20
ALL = ("train", "validation", "test")
Arrays = dict[str, tuple[NDArray[np.uint8], NDArray[np.int64]]]


class Form(NamedTuple):
    """`write` fills a folder and returns the source's URL. `classes` are the names by their numbers,
    `in_place` whether `trainer index` reads it, `options` are for it; `splits` those of the source."""

    name: str
    write: Callable[[Path, "Content"], str]
    classes: tuple[str, ...] = ("0", "1", "2")
    in_place: bool = True
    options: tuple[str, ...] = ()
    splits: tuple[str, ...] = ("train",)
    exact: bool = True


class Content(NamedTuple):
    """Images uint8 (n, H, W, 3) whose brightness tells their class, and the numbers of these, by split."""

    arrays: Arrays

    @property
    def x(self) -> NDArray[np.uint8]:
        return self.arrays["train"][0]

    @property
    def y(self) -> NDArray[np.int64]:
        return self.arrays["train"][1]


def content() -> Content:
    arrays: Arrays = {}
    for seed, split in enumerate(ALL):
        draw = np.random.default_rng(seed)
        labels = np.arange(ROWS) % 3
        draw.shuffle(labels)
        images = draw.integers(0, 60, (ROWS, HEIGHT, WIDTH, 3), np.uint8)
        images += (90 * labels).astype(np.uint8)[:, None, None, None]
        images[:, HEIGHT // 2 :] += 15  # so that above and below differ
        arrays[split] = images, labels
    return Content(arrays)


def single(fill: Callable[[Any, Content], None]) -> Callable[[Path, Content], str]:
    def write(folder: Path, content: Content) -> str:
        path = folder / "cars.h5"
        with h5py.File(path, "w") as file:
            fill(file, content)
        return str(path)

    return write


def _strings(file: Any, content: Content) -> None:
    file["images"] = content.x
    file["labels"] = np.array([b"cat", b"dog", "école".encode()])[content.y]


def _vlen_strings(file: Any, content: Content) -> None:
    file["images"], names = content.x, ["école", "dog", "cat"]
    file.create_dataset("labels", data=[names[label] for label in content.y], dtype=h5py.string_dtype())
    file["class_names"] = np.array(["école".encode(), b"dog", b"cat"])


def _enum(file: Any, content: Content) -> None:
    kind = h5py.enum_dtype({"owl": 7, "cat": 3, "dog": 5}, basetype="i1")
    file["x"] = content.x
    file.create_dataset("y", data=(3 + 2 * content.y).astype("i1"), dtype=kind)


def _integer_classes(file: Any, content: Content) -> None:
    file["train_set_x"], file["train_set_y"] = content.x, content.y[None]
    file["list_classes"] = np.arange(3)


def _classes_that_are_labels(file: Any, content: Content) -> None:
    file["images"], file["labels"] = content.x, np.array([10, 20, 30])[content.y]
    file["classes"] = np.array([10.0, 20.0, 30.0])


def _attribute(file: Any, content: Content) -> None:
    file["images"], file["labels"] = content.x, content.y
    file.attrs["class_names"] = ["cat", "dog", "owl"]


def _own_names(file: Any, content: Content) -> None:
    for split, short in (("train", "train"), ("validation", "val"), ("test", "test")):
        file[f"{short}_img"], file[f"{short}_lbls"] = content.arrays[split]


def _odd_names(file: Any, content: Content) -> None:
    for split, (images, labels) in content.arrays.items():
        file[f"a/{split[:2]}/p"], file[f"a/{split[:2]}/q"] = images, labels


def _fuel(file: Any, content: Content, **storage: Any) -> None:
    names, total = list(content.arrays), 3 * ROWS
    features = np.concatenate([content.arrays[name][0] for name in names])
    file.create_dataset("features", data=features.transpose(0, 3, 1, 2), **storage)
    file["targets"] = np.concatenate([content.arrays[name][1] for name in names])[:, None]
    fields = [("split", "S10"), ("source", "S10"), ("start", "i8"), ("stop", "i8"), ("available", "?")]
    spelled = {"validation": b"valid"}
    table = [
        (spelled.get(name, name.encode()), source, number * ROWS, (number + 1) * ROWS, True)
        for number, name in enumerate(names)
        for source in (b"features", b"targets")
    ]
    table.append((b"unlabeled", b"features", 0, total, True))
    file.attrs["split"] = np.array(table, fields)


def _fuel_chunks(rows: int) -> Callable[[Any, Content], None]:
    return lambda file, content: _fuel(
        file, content, chunks=(rows, 3, HEIGHT, WIDTH), compression="gzip", shuffle=True
    )


def _fuel_rows(file: Any, content: Content) -> None:
    _fuel(file, content)
    reference = h5py.special_dtype(ref=h5py.Reference)
    table = file.attrs["split"]
    kinds = [*((name, table.dtype[name]) for name in table.dtype.names), ("indices", reference)]
    fuller = np.zeros(len(table), kinds)
    for name in table.dtype.names:
        fuller[name] = table[name]
    fuller["indices"] = h5py.Reference()
    for place, entry in enumerate(table):
        split = entry["split"].decode()
        if split != "unlabeled":
            name = f"rows_{split}"
            if name not in file:
                file[name] = np.arange(entry["start"], entry["stop"])
            fuller["indices"][place] = file[name].ref
    file.attrs["split"] = fuller


def _soft(file: Any, content: Content) -> None:
    file["store/deep/content"], file["labels"] = content.x, content.y
    file["images"] = h5py.SoftLink("/store/deep/content")
    file["elsewhere"] = h5py.ExternalLink("/etc/passwd", "/x")
    file["store/up"] = h5py.SoftLink("/")


def matlab(fill: Callable[[Any, Callable[..., Any], Content], None]) -> Callable[[Path, Content], str]:
    """`fill(file, put, content)`, of which put(name, array, class) stores an array as MATLAB does."""

    def write(folder: Path, content: Content) -> str:
        path = folder / "cars.mat"
        with h5py.File(path, "w", userblock_size=512) as file:

            def put(name: str, array: Any, kind: str, **options: Any) -> Any:
                dataset = file.create_dataset(name, data=np.asarray(array).T, **options)
                dataset.attrs["MATLAB_class"] = np.bytes_(kind)
                return dataset

            fill(file, put, content)
        with path.open("r+b") as opened:
            opened.write(b"MATLAB 7.3 MAT-file, Platform: GLNXA64".ljust(124) + b"\x00\x02IM")
        return str(path)

    return write


def _svhn(file: Any, put: Callable[..., Any], content: Content) -> None:
    put("X", content.x.transpose(1, 2, 3, 0), "uint8", chunks=(5, 3, WIDTH, HEIGHT), compression="gzip")
    put("y", content.y[:, None] + 1.0, "double")


def _matlab_rows_first(file: Any, put: Callable[..., Any], content: Content) -> None:
    put("images", content.x.transpose(0, 3, 1, 2), "uint8")
    put("labels", np.eye(3)[content.y], "double")


def _matlab_flat(file: Any, put: Callable[..., Any], content: Content) -> None:
    put("data", np.array([image.ravel(order="F") for image in content.x]), "uint8")
    cells = [
        file.create_dataset(f"#refs#/{n}", data=np.array([[ord(c)] for c in name], "u2"))
        for n, name in enumerate(("cat", "dog", "owl"))
    ]
    for cell in cells:
        cell.attrs["MATLAB_class"] = np.bytes_("char")
    table = file.create_dataset("labels", (1, ROWS), h5py.special_dtype(ref=h5py.Reference))
    table[0] = np.array([cells[label].ref for label in content.y], h5py.special_dtype(ref=h5py.Reference))
    table.attrs["MATLAB_class"] = np.bytes_("cell")


def _jpegs(file: Any, content: Content) -> None:
    file["labels"] = content.y
    images = file.create_dataset("images", (ROWS,), h5py.vlen_dtype(np.uint8))
    for row, image in enumerate(content.x):
        data = io.BytesIO()
        Image.fromarray(image).save(data, "JPEG", quality=95)
        images[row] = np.frombuffer(data.getvalue(), np.uint8)


def _pngs(file: Any, content: Content) -> None:
    file["labels"] = content.y
    files = []
    for image in content.x:
        data = io.BytesIO()
        Image.fromarray(image).save(data, "PNG")
        files.append(np.void(data.getvalue().ljust(3000, b"\0")))
    file["images"] = np.array(files)


def _lzf(file: Any, content: Content) -> None:
    file.create_dataset("images", data=content.x, compression="lzf", chunks=(5, HEIGHT, WIDTH, 3))
    file["labels"] = content.y


def _compact(file: Any, content: Content) -> None:
    creation = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    creation.set_layout(h5py.h5d.COMPACT)
    small = np.ascontiguousarray(content.x)
    space = h5py.h5s.create_simple(small.shape)
    made = h5py.h5d.create(file.id, b"images", h5py.h5t.STD_U8LE, space, creation)
    made.write(h5py.h5s.ALL, h5py.h5s.ALL, small)
    file["labels"] = content.y


def _columns(chunks: tuple[int, ...] | None) -> Callable[[Any, Content], None]:
    def fill(file: Any, content: Content) -> None:
        stored = np.ascontiguousarray(content.x.transpose(1, 2, 3, 0))
        file.create_dataset("images", data=stored, chunks=chunks)
        file["labels"] = content.y

    return fill


def _two_files(folder: Path, content: Content) -> str:
    for split, short in (("train", "train"), ("validation", "valid"), ("test", "test")):
        images, labels = content.arrays[split]
        with h5py.File(folder / f"pcam_{short}_x.h5", "w") as file:
            file["x"] = images
        with h5py.File(folder / f"pcam_{short}_y.h5", "w") as file:
            file["y"] = labels[:, None, None, None]
    return str(folder)


def _named_files(folder: Path, content: Content) -> str:
    for number, split in enumerate(ALL):
        images, labels = content.arrays[split]
        with h5py.File(folder / f"p{number}.h5", "w") as file:
            file["pictures"] = images
        with h5py.File(folder / f"k{number}.h5", "w") as file:
            file["kinds"] = labels
    return str(folder)


PETS = ("cat", "dog", "école")
FORMS = [
    Form("strings", single(_strings), PETS),
    Form("strings and class names", single(_vlen_strings), PETS[::-1]),
    Form("enum", single(_enum), ("cat", "dog", "owl")),
    Form("whole numbers as classes", single(_integer_classes)),
    Form("no classes", single(_integer_classes), options=("--classes", "none")),
    Form("labels that are classes", single(_classes_that_are_labels), ("10", "20", "30")),
    Form("classes in an attribute", single(_attribute), ("cat", "dog", "owl")),
    Form("own names", single(_own_names), splits=ALL),
    Form(
        "odd names",
        single(_odd_names),
        options=("--train", "a/tr/p,a/tr/q", "--validation", "a/va/p,/a/va/q", "--test", "a/te/p,a/te/q"),
        splits=ALL,
    ),
    Form("Fuel", single(_fuel), splits=ALL),
    Form("Fuel, whole chunks", single(_fuel_chunks(8)), splits=ALL),
    Form("Fuel, cut chunks", single(_fuel_chunks(7)), splits=ALL, in_place=False),
    Form("Fuel, row by row", single(_fuel_rows), splits=ALL, in_place=False),
    Form("soft links", single(_soft)),
    Form("MATLAB, n last", matlab(_svhn), ("1", "2", "3")),
    Form("MATLAB, n first", matlab(_matlab_rows_first)),
    Form("MATLAB, flat", matlab(_matlab_flat), ("cat", "dog", "owl"), options=("--image-shape", "12x20x3")),
    Form("JPEG files", single(_jpegs), in_place=False, exact=False),
    Form("padded PNG files", single(_pngs), in_place=False),
    Form("lzf", single(_lzf), in_place=False),
    Form("in the header", single(_compact), in_place=False),
    Form("n last", single(_columns(None))),
    Form("n last, strips", single(_columns((HEIGHT, WIDTH, 3, 7)))),
    Form("n last, scattered", single(_columns((3, 5, 2, 7)))),
    Form("pairs of files", _two_files, splits=ALL),
    Form(
        "pairs of files by name",
        _named_files,
        options=(
            *("--train", "p0.h5:pictures,k0.h5:kinds", "--validation", "p1.h5:pictures,k1.h5:kinds"),
            *("--test", "p2.h5:pictures,k2.h5:kinds"),
        ),
        splits=ALL,
    ),
]
