"""Starting weights: what fits goes in, by name or by structure, and the report says what did not."""

import hashlib
import io
import json
import os
import random
import socket
import zipfile
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import h5py
import keras
import numpy as np
import pytest
from keras import layers

from tests.models.networks import legacy_file, legacy_layers, small_resnet, used
from trainer.errors import ConfigError
from trainer.models import imagenet, weights_subprocess
from trainer.models.export import keras_file
from trainer.models.networks.lab import build_cnn
from trainer.models.starting_weights import Report, load_starting_weights
from trainer.models.weights_subprocess import read_layers_in_subprocess


def lab(classes: int = 4, **options) -> keras.Model:
    return build_cnn((8, 8, 3), classes, n_filters=4, **options)


def load(model: keras.Model, content: bytes, source: str = "weights.h5") -> Report:
    return load_starting_weights(model, source, {source: content}.__getitem__)


def weights_file(model: keras.Model, folder: Path) -> bytes:
    model.save_weights(folder / "model.weights.h5")
    return (folder / "model.weights.h5").read_bytes()


def edited(content: bytes, edit: Callable[[h5py.File], None]) -> bytes:
    copy = io.BytesIO(content)
    with h5py.File(copy, "r+") as file:
        edit(file)
    return copy.getvalue()


def assert_equal(model: keras.Model, other: keras.Model, *, but: tuple[str, ...] = ()) -> None:
    for layer, expected in zip(model.layers, other.layers, strict=True):
        if layer.name not in but:
            for found, array in zip(layer.get_weights(), expected.get_weights(), strict=True):
                np.testing.assert_array_equal(found, array, layer.name)


@pytest.mark.parametrize(("root", "attribute"), [("", 0), ("model_weights", 0), ("", 7)])
def test_a_legacy_file_goes_in_by_layer_name_whatever_its_order(root: str, attribute: int) -> None:
    source, model = used(small_resnet()), small_resnet()
    backwards = dict(reversed(legacy_layers(source).items()))
    report = load(model, legacy_file(backwards, root, attribute))
    assert_equal(model, source)
    assert set(report.matched) == {layer.name for layer in model.layers if layer.weights}
    assert not {**report.mismatched, **report.missing, **report.unused}


def test_a_legacy_file_written_by_keras_goes_in(tmp_path: Path) -> None:
    source, model = used(small_resnet()), small_resnet()
    source.save(tmp_path / "model.h5")
    load(model, (tmp_path / "model.h5").read_bytes())
    assert_equal(model, source)


def test_layers_of_a_nested_backbone_are_found_by_their_own_names() -> None:
    source, model = used(small_resnet()), small_resnet()
    flat = {
        f"{layer.name}/{name}:0": array
        for layer in source.layers[:-1]
        for name, array in zip(("a", "b", "c", "d"), layer.get_weights(), strict=False)
    }
    # As Keras 2 wrote a nested model: everything that was trainable comes first.
    mixed = dict(sorted(flat.items(), key=lambda item: item[0][-3] in "cd"))
    report = load(model, legacy_file({"input_1": {}, "backbone": mixed}))
    assert_equal(model, source, but=("fc8",))
    assert report.missing == {"fc8": "not in the file"}


def test_another_number_of_classes_leaves_the_head_fresh() -> None:
    source, model = used(small_resnet(classes=7)), small_resnet(classes=5)
    fresh = model.get_layer("fc8").get_weights()
    report = load(model, legacy_file(legacy_layers(source)))
    assert_equal(model, source, but=("fc8",))
    np.testing.assert_array_equal(model.get_layer("fc8").get_weights()[0], fresh[0])
    assert report.mismatched == {"fc8": "(128, 7) in the file, (128, 5) in the network"}
    assert report.text().endswith("randomly initialised: fc8 ((128, 7) in the file, (128, 5) in the network)")


def test_a_head_of_another_name_is_reported_as_not_used() -> None:
    saved = legacy_layers(used(small_resnet()))
    saved["fc1000"] = {"fc1000_W:0": np.ones((128, 1000), np.float32)}
    del saved["fc8"]
    report = load(small_resnet(), legacy_file(saved))
    assert report.missing == {"fc8": "not in the file"}
    assert report.unused == {"fc1000": "not in the network"}
    total = len(report.matched) + 1
    assert report.text() == (
        f"starting weights from weights.h5: {total - 1} of {total} layers; "
        "randomly initialised: fc8 (not in the file); "
        "unused: fc1000"
    )


def test_a_layer_with_another_number_of_arrays_stays_fresh() -> None:
    saved = legacy_layers(used(small_resnet()))
    saved["conv1"]["conv1_b:0"] = np.ones(4, np.float32)
    report = load(small_resnet(), legacy_file(saved))
    assert report.mismatched == {"conv1": "2 arrays in the file, 1 in the network"}


@pytest.mark.parametrize("kind", ["weights.h5", "keras"])
def test_a_file_of_the_same_structure_goes_in_though_keras_named_its_layers_otherwise(
    kind: str, tmp_path: Path
) -> None:
    source, model = used(lab(use_dropout=True, n_dense_layers=1)), lab(use_dropout=True, n_dense_layers=1)
    assert source.layers[0].name != model.layers[0].name
    source.compile("adam", "sparse_categorical_crossentropy")
    source.optimizer.build(source.trainable_variables)
    content = weights_file(source, tmp_path)
    if kind == "keras":
        source.save(tmp_path / "model.keras")
        content = (tmp_path / "model.keras").read_bytes()
    report = load(model, content, f"x.{kind}")
    assert_equal(model, source)
    assert not {**report.mismatched, **report.missing, **report.unused}


def test_a_deeper_network_takes_from_weights_h5_the_layers_of_the_same_name(tmp_path: Path) -> None:
    source = keras.Sequential([keras.Input((3,)), layers.Dense(4, name="one"), layers.Dense(2, name="head")])
    model = keras.Sequential(
        [keras.Input((3,)), *(layers.Dense(4, name=name) for name in ("one", "two")), layers.Dense(2)]
    )
    report = load(model, weights_file(used(source), tmp_path))
    assert report.matched == ("one",)
    assert set(report.missing) == {"two", model.layers[-1].name}
    assert set(report.unused) == {"head"}
    np.testing.assert_array_equal(model.layers[0].get_weights()[0], source.layers[0].get_weights()[0])


def test_a_keras_file_of_an_early_keras_3_gets_its_names_from_the_configuration(tmp_path: Path) -> None:
    source = keras.Sequential(
        [keras.Input((3,)), layers.Dense(4, name="one"), layers.Dense(4, name="three"), layers.ReLU()]
    )
    content = keras_file(used(source))

    def without_names(file: h5py.File) -> None:
        file.visititems(lambda _, item: item.attrs.pop("name", None))

    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    members["model.weights.h5"] = edited(members["model.weights.h5"], without_names)
    old = io.BytesIO()
    with zipfile.ZipFile(old, "w") as archive:
        for name, member in members.items():
            archive.writestr(name, member)
    model = keras.Sequential(
        [keras.Input((3,)), *(layers.Dense(4, name=name) for name in ("one", "two", "three"))]
    )
    assert load(model, old.getvalue()).matched == ("one", "three")
    np.testing.assert_array_equal(model.layers[2].get_weights()[0], source.layers[1].get_weights()[0])


def test_a_run_is_named_by_its_folder(tmp_path: Path) -> None:
    source, model = used(small_resnet()), small_resnet()
    (tmp_path / "run/weights").mkdir(parents=True)
    source.save_weights(tmp_path / "run/weights/best.weights.h5")
    report = load_starting_weights(model, f"file://{tmp_path}/run")
    assert report.source == f"file://{tmp_path}/run/weights/best.weights.h5"
    assert_equal(model, source)


def test_a_source_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"there is no .*/run/weights/best\.weights\.h5") as error:
        load_starting_weights(lab(), f"{tmp_path}/run")
    assert error.value.exit_code == 64


def test_a_file_of_which_nothing_fits_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"no layer of weights\.h5 fits .* the file's are fc1000\. Name"):
        load(lab(), legacy_file({"fc1000": {"fc1000_W:0": np.ones((2, 1000), np.float32)}}))


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"not HDF5",
        b"PK\x03\x04 not a zip",
        legacy_file({"conv1": {"W": np.ones((9, 9), np.float32)}})[:700],
        edited(legacy_file({}), lambda file: file.create_group("images")),
    ],
    ids=["empty", "text", "zip", "truncated", "another HDF5"],
)
def test_what_is_no_file_of_weights_is_one_clear_line(content: bytes) -> None:
    with pytest.raises(ConfigError, match=r"^weights\.h5: (not a|expected Keras)"):
        load(lab(), content)


def test_a_zip_that_would_grow_without_end_is_not_unpacked() -> None:
    bomb = io.BytesIO()
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("model.weights.h5", bytes(128 * 2**20))
    with pytest.raises(ConfigError, match="would grow to 134,217,728 bytes"):
        load(lab(), bomb.getvalue())


def test_no_link_out_of_the_file_is_followed(tmp_path: Path) -> None:
    secret = tmp_path / "secret.h5"
    with h5py.File(secret, "w") as file:
        file["kernel"] = np.ones((3, 3, 3, 4), np.float32)
    names = {"conv": ["conv/kernel:0"]}

    def link(file: h5py.File, kind: str) -> None:
        file.attrs["layer_names"] = list(names)
        group = file.create_group("conv/conv")
        file["conv"].attrs["weight_names"] = names["conv"]
        if kind == "link":
            group["kernel:0"] = h5py.ExternalLink(str(secret), "kernel")
        elif kind == "virtual":
            layout = h5py.VirtualLayout((3, 3, 3, 4), np.float32)
            layout[:] = h5py.VirtualSource(str(secret), "kernel", (3, 3, 3, 4))
            group.create_virtual_dataset("kernel:0", layout)
        else:
            group.create_dataset(
                "kernel:0", (3, 3, 3, 4), np.float32, external=[(str(secret), 0, h5py.h5f.UNLIMITED)]
            )

    for kind in ("link", "virtual", "external"):
        content = io.BytesIO()
        with h5py.File(content, "w") as file:
            link(file, kind)
        model = keras.Sequential([keras.Input((8, 8, 3)), layers.Conv2D(4, 3, use_bias=False, name="conv")])
        with pytest.raises(ConfigError, match=r"lie in another file|no layer of"):
            load(model, content.getvalue())


def test_nothing_in_a_keras_file_is_made_into_an_object(tmp_path: Path) -> None:
    content = keras_file(used(small_resnet()))
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    config = json.loads(members["config.json"])
    config["config"]["layers"][1] |= {"module": "os", "class_name": "system", "config": {"name": "touch x"}}
    members["config.json"] = json.dumps(config).encode()
    changed = io.BytesIO()
    with zipfile.ZipFile(changed, "w") as archive:
        for name, member in members.items():
            archive.writestr(name, member)
    assert "conv1" in load(small_resnet(), changed.getvalue()).matched


def test_damage_anywhere_is_one_clear_line_or_does_no_harm() -> None:
    draw = random.Random(0)
    whole, said = legacy_file(legacy_layers(used(lab()))), []
    for _ in range(6):
        content = bytearray(whole)
        for _ in range(20):
            content[draw.randrange(8, 8000)] = draw.randrange(256)
        try:
            read_layers_in_subprocess(bytes(content), "weights.h5")
        except ConfigError as error:
            said.append(str(error))
    assert all(line.startswith("weights.h5: ") and "\n" not in line for line in said)


@pytest.mark.parametrize(
    ("code", "ending"),
    [
        ("raise SystemExit(1)", "ended with code 1"),
        ("import os; os.kill(os.getpid(), 11)", "ended with SIGSEGV"),
        ("import time; time.sleep(1000)", "did not end in 2 s"),
    ],
)
def test_a_reader_that_crashes_or_hangs_is_one_clear_line(
    code: str, ending: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "broken_reader.py").write_text(code)
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}:{os.environ.get('PYTHONPATH', '')}")
    monkeypatch.setattr(weights_subprocess, "_MODULE", "broken_reader")
    monkeypatch.setattr(weights_subprocess, "WALL_SECONDS", 2.0)
    with pytest.raises(ConfigError, match=rf"^weights\.h5: not a whole HDF5 file \(reading it {ending}\)"):
        read_layers_in_subprocess(b"", "weights.h5")


class Server:
    """One file over HTTP on loopback; counts its downloads."""

    def __init__(self, content: bytes) -> None:
        self.downloads = 0

        class Handler(BaseHTTPRequestHandler):
            def do_GET(handler) -> None:
                self.downloads += 1
                handler.send_response(200)
                handler.send_header("Content-Length", str(len(content)))
                handler.end_headers()
                handler.wfile.write(content)

            def log_message(handler, *words: object) -> None:
                pass

        self.http = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_port}/resnet.h5"
        Thread(target=self.http.serve_forever, daemon=True).start()

    def close(self) -> None:
        self.http.shutdown()
        self.http.server_close()


def know(monkeypatch: pytest.MonkeyPatch, folder: Path, url: str | None, md5: str | None = None) -> None:
    monkeypatch.setenv("KERAS_HOME", str(folder))
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setitem(imagenet.KNOWN, "scaled_resnet", imagenet.Download("resnet.h5", url, md5))


def test_imagenet_is_downloaded_once_and_kept(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    source = used(small_resnet(classes=9))
    content = legacy_file(legacy_layers(source))
    server = Server(content)
    know(monkeypatch, tmp_path, server.url, hashlib.md5(content).hexdigest())
    try:
        for _ in range(2):
            model = small_resnet()
            report = load_starting_weights(model, "imagenet")
            assert_equal(model, source, but=("fc8",))
            assert report.source == str(tmp_path / "models/resnet.h5")
    finally:
        server.close()
    assert server.downloads == 1
    assert [path.name for path in (tmp_path / "models").iterdir()] == ["resnet.h5"]


def test_imagenet_without_a_network_names_the_file_and_its_place(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        know(monkeypatch, tmp_path, f"http://127.0.0.1:{closed.getsockname()[1]}/resnet.h5")
        with pytest.raises(ConfigError, match=f"Put resnet.h5 at {tmp_path}/models/resnet.h5") as error:
            load_starting_weights(small_resnet(), "imagenet")
    assert error.value.exit_code == 64


def test_imagenet_weights_that_nobody_offers_are_put_there_by_hand(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    know(monkeypatch, tmp_path, None)
    with pytest.raises(ConfigError, match=f"{tmp_path}/models/resnet.h5 does not exist"):
        load_starting_weights(small_resnet(), "imagenet")
    source, model = used(small_resnet()), small_resnet()
    (tmp_path / "models").mkdir()
    (tmp_path / "models/resnet.h5").write_bytes(legacy_file(legacy_layers(source)))
    load_starting_weights(model, "imagenet")
    assert_equal(model, source)


def test_a_damaged_file_in_the_cache_is_downloaded_again(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    source = used(small_resnet(classes=9))
    content = legacy_file(legacy_layers(source))
    server, model = Server(content), small_resnet()
    know(monkeypatch, tmp_path, server.url, hashlib.md5(content).hexdigest())
    (tmp_path / "models").mkdir()
    (tmp_path / "models/resnet.h5").write_bytes(b"half of it")
    try:
        load_starting_weights(model, "imagenet")
    finally:
        server.close()
    assert_equal(model, source, but=("fc8",))


def test_a_download_that_is_not_the_known_file_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    server = Server(b"another file")
    know(monkeypatch, tmp_path, server.url, "0" * 32)
    try:
        with pytest.raises(ConfigError, match="hash does not match"):
            load_starting_weights(small_resnet(), "imagenet")
    finally:
        server.close()


def test_a_network_without_imagenet_weights_says_which_have() -> None:
    with pytest.raises(ConfigError, match="Known: resnet50, resnet152-scale"):
        load_starting_weights(lab(), "imagenet")
