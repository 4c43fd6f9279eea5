"""Keys as the world writes them."""

import pytest

from tests.conftest import client
from tests.storage import faulty
from trainer.errors import ConfigError
from trainer.storage import join, open_store, split_url
from trainer.storage.s3.s3_store import S3Store

KEYS = ["/lead", "//two", "a//b", "a///b/c", "a/./b", "a/../b", "./c", " blank ", "k" * 1024, "é" * 512]
KEYS += ["/".join(["d" * 255] * 4), "100%", "a%2Fb", "q?x=1#f", "plus+", "back\\slash", "quote'\"&<>"]


@pytest.mark.parametrize("key", KEYS, ids=lambda key: f"{key[:8]!r}-{len(key)}")
def test_a_key_is_what_it_is(s3: str, moto: str, key: str) -> None:
    bucket = s3.removeprefix("s3://")
    client(moto).put_object(Bucket=bucket, Key=key, Body=b"0123456789")
    store = S3Store(bucket)
    (info,) = store.list()
    assert info.key == key
    assert store.get(key) == b"0123456789"
    assert store.stat(key) == info
    assert bytes(store.get_range(key, 2, 5, etag=info.etag)) == b"234"
    assert store._requests.fast.get_range(key, 2, 5, info.etag) in (b"234", None)
    assert store.put(key, b"new", if_match=info.etag)
    assert client(moto).get_object(Bucket=bucket, Key=key)["Body"].read() == b"new"
    url = join(store.url, key)
    folder, name = split_url(url)
    assert open_store(folder).get(name) == b"new"
    store.delete(key)
    assert not list(store.list())


@pytest.mark.parametrize(
    ("url", "prefix"),
    [("/", ""), ("/a/", "a/"), ("//a", "/a/"), ("/a//b", "a//b/"), ("/a/b//", "a/b/")],
)
def test_a_url_names_the_prefix_that_is_written_there(s3: str, moto: str, url: str, prefix: str) -> None:
    open_store(s3 + url).put("k", b"x")
    listed = client(moto).list_objects_v2(Bucket=s3.removeprefix("s3://"))["Contents"]
    assert [item["Key"] for item in listed] == [f"{prefix}k"]
    assert [info.key for info in open_store(open_store(s3 + url).url).list()] == ["k"]


def test_a_key_that_is_too_long_for_the_store_is_invalid(
    s3: str, moto: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with faulty.faulty_proxy(moto) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.url)
        proxy.spoil("PUT", faulty.says(400, "KeyTooLongError", "Your key is too long"))
        with pytest.raises(ConfigError, match="KeyTooLongError"):
            open_store(s3).put("k" * 1025, b"x")
