"""Which URLs open which store, and what is said about the others."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import use_s3
from trainer.errors import ConfigError
from trainer.storage import join, open_store, split_url
from trainer.urls import absolute, beside, lies_in, may_be_typed


@pytest.fixture(autouse=True)
def _no_aws_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    use_s3(monkeypatch, "http://127.0.0.1:1")


@pytest.mark.parametrize(
    ("given", "url"),
    [
        ("s3://bucket", "s3://bucket"),
        ("s3://bucket/", "s3://bucket"),
        ("s3://bucket/a/b/", "s3://bucket/a/b"),
        ("file:///data/cars/", "file:///data/cars"),
        ("file://localhost/data", "file:///data"),
        ("file:///a%20b", "file:///a b"),
        ("/data/../cars", "file:///cars"),
    ],
)
def test_a_store_knows_its_url(given: str, url: str) -> None:
    assert open_store(given).url == url
    assert open_store(open_store(given).url).url == url


def test_a_plain_path_is_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert open_store("cars").url == f"file://{tmp_path}/cars"
    assert open_store("50%20").url == f"file://{tmp_path}/50%2520"
    assert open_store(open_store("50%20").url).url == open_store("50%20").url


@pytest.mark.parametrize("url", ["gs://bucket/x", "https://host/x", "hdfs://x"])
def test_another_scheme_is_refused_naming_those_supported(url: str) -> None:
    with pytest.raises(ConfigError, match=r"no object store for \w+://.*s3://bucket/prefix.*file:///path"):
        open_store(url)


@pytest.mark.parametrize("url", ["", "s3://", "s3:///key", "file://host/path", "file://relative"])
def test_half_a_url_is_refused(url: str) -> None:
    with pytest.raises(ConfigError, match="expected"):
        open_store(url)


@pytest.mark.parametrize(
    ("url", "meant"),
    [
        ("s3:/bucket/x", "Use s3://bucket/x"),
        ("s3:bucket", "Use s3://bucket"),
        ("s3//bucket/x", "Use s3://bucket/x"),
        (" s3://bucket", "Use s3://bucket"),
        ("S3://bucket/x", "expected s3://bucket/prefix"),
        ("s3:", "Add the name of the bucket"),
        ("s3:///x", "Add the name of the bucket"),
        ("gs:/bucket", "no object store for gs"),
        ("gs:bucket", "no object store for gs"),
        ("http:x", "no object store for http"),
        ("file:/x", "expected file:///absolute/path"),
        ("file:x", "Or use the plain path"),
        ("s3://bucket/\x00", "plain characters"),
        ("file:///a%00b", "plain characters"),
        ("runs\n", "plain characters"),
    ],
)
def test_what_looks_like_a_url_and_is_none_is_no_folder(url: str, meant: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(meant)):
        open_store(url)


@pytest.mark.parametrize(
    "path", ["a:b", "2024:runs/x", "./s3:/bucket", "/s3:/bucket", "a/gs://b", "s3", "é/ü"]
)
def test_a_bare_path_stays_a_path(path: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert open_store(path).url == f"file://{os.path.abspath(path)}"


def test_a_bucket_that_can_have_no_such_name_is_refused() -> None:
    with pytest.raises(ConfigError, match=r'^s3://B!/k: .*Invalid bucket name "B!"$'):
        open_store("s3://B!").get("k")


def test_an_endpoint_that_is_no_url_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "localhost:9000")
    with pytest.raises(ConfigError, match=r"localhost:9000.*AWS_ENDPOINT_URL"):
        open_store("s3://bucket")


def test_a_profile_that_is_not_there_is_no_permission(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_PROFILE", "absent")
    with pytest.raises(PermissionError, match="absent"):
        open_store("s3://bucket")


@pytest.mark.parametrize("key", ["", "/a", "a//b", "../a", "a/..", "./a", "a/"])
def test_a_key_cannot_leave_its_folder(tmp_path: Path, key: str) -> None:
    store = open_store(f"{tmp_path}/store")
    (tmp_path / "secret").write_bytes(b"x")
    for ask in (store.get, store.stat, store.delete, lambda key: store.put(key, b"x")):
        with pytest.raises(ValueError, match="expected a key"):
            ask(key)
    assert list(store.list("../")) == []


@pytest.mark.parametrize(
    ("url", "parts"),
    [
        ("s3://bucket/a/b.h5", ("s3://bucket/a", "b.h5")),
        ("s3://bucket/b.h5", ("s3://bucket", "b.h5")),
        ("file:///b.h5", ("file://", "b.h5")),
        ("/data/b.h5", ("/data", "b.h5")),
        ("/b.h5", ("/", "b.h5")),
        ("b.h5", (".", "b.h5")),
    ],
)
def test_split_url_gives_the_folder_and_the_key(url: str, parts: tuple[str, str]) -> None:
    assert split_url(url) == parts


@pytest.mark.parametrize("url", ["s3://bucket", "s3://bucket/", "s3://bucket/a/", "gs://a/b", ""])
def test_split_url_wants_one_object(url: str) -> None:
    with pytest.raises(ConfigError):
        split_url(url)


def test_join_puts_one_url_below_another() -> None:
    assert join("s3://bucket/", "/a/", "", "b.h5") == "s3://bucket/a/b.h5"
    assert join("/data", "b") == "/data/b"


def test_boto3_is_imported_only_for_s3(tmp_path: Path) -> None:
    script = """
import sys
from trainer.storage import open_store
open_store("x").put("k", b"")
print(*sys.modules)
"""
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert not {"boto3", "botocore", "numpy", "tensorflow"} & set(done.stdout.split())


@pytest.mark.parametrize(
    ("typed", "url"),
    [
        ("s3://bucket/a/", "s3://bucket/a/"),
        ("file:///data", "file:///data"),
        ("/data/../cars/", "/cars"),
        ("runs/a", "{here}/runs/a"),
        ("../a", "{above}/a"),
        (".", "{here}"),
        ("./s3:/bucket", "{here}/s3:/bucket"),
        ("~/a", "{home}/a"),
    ],
)
def test_a_path_is_the_same_place_from_any_folder(
    typed: str, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", "/home/me")
    assert absolute(typed) == url.format(here=tmp_path, above=tmp_path.parent, home="/home/me")
    assert absolute(absolute(typed)) == absolute(typed)
    assert may_be_typed(absolute(typed), typed)


@pytest.mark.parametrize(
    ("url", "typed"),
    [
        ("/runs/a", "runs/b"),
        ("/runs/a", "/other/a"),
        ("s3://b/runs/a", "runs/a"),
        ("/a", "s3://b/a"),
        ("/a", ""),
    ],
)
def test_what_was_typed_so_is_another_place(url: str, typed: str) -> None:
    assert not typed or not may_be_typed(url, typed)


@pytest.mark.parametrize(
    ("url", "folder", "inside"),
    [
        ("s3://b/cars", "s3://b/cars/", True),
        ("s3://b/cars/run", "s3://b/cars", True),
        ("s3://b/cars-run", "s3://b/cars", False),
        ("s3://b/cars", "s3://b", True),
        ("s3://bucket", "s3://b", False),
        ("s3://b/cars", "/cars", False),
        ("file://{here}/x", "x/", True),
        ("link/run", "x", True),
        ("x/run", "link", True),
        ("x/../y", "x", False),
        ("x-1", "x", False),
        ("x", "/", True),
    ],
)
def test_whether_a_place_is_in_another(
    url: str, folder: str, inside: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "x").mkdir()
    (tmp_path / "link").symlink_to("x")
    assert lies_in(url.format(here=tmp_path), folder.format(here=tmp_path)) is inside


@pytest.mark.parametrize(
    ("url", "near"),
    [
        ("s3://b/cars/", "s3://b/cars-run"),
        ("s3://b", "s3://b/run"),
        ("s3://b/", "s3://b/run"),
        ("/a", "/a-run"),
    ],
)
def test_a_place_beside_another_is_in_the_same_bucket(url: str, near: str) -> None:
    assert beside(url, "run") == near
