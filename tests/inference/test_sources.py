"""Images from a dataset, a list, the web, and a few by name."""

import re
import socket
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from tests.commands import here
from tests.documents import assert_document
from tests.inference.conftest import invalid, predicted, rows
from tests.trained import CLASSES, images
from trainer.errors import DataError
from trainer.inference import adhoc
from trainer.inference.forms import PredictionRow, ReadError
from trainer.inference.sources import web
from trainer.inference.sources.addresses import is_public


@pytest.fixture
def served(tmp_path: Path) -> Iterator[str]:
    """A web server on this machine. /1.png is an image, the other paths are trouble."""
    content = (images(tmp_path / "web", 1, "a") / "a/0.png").read_bytes()
    answers: dict[str, int] = {}
    moved = {
        "/loop": "/loop",
        "/to-file": "file:///etc/passwd",
        "/to-private": "http://private.example/1.png",
    }

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            answers[self.path] = answers.get(self.path, 0) + 1
            code = {"/gone": 404, "/busy": 503}.get(self.path, 302 if self.path in moved else 200)
            if self.path == "/busy-once" and answers[self.path] == 1:
                code = 503
            self.send_response(code)
            if code == 302:
                self.send_header("Location", moved[self.path])
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            if self.path == "/cut":
                self.wfile.write(content[:20])
            elif self.path == "/slow":
                for place in range(len(content)):
                    self.wfile.write(content[place : place + 1])
                    time.sleep(0.05)
            else:
                self.wfile.write(content)

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("gone", "the server responded with 404"),
        ("busy", "the server responded with 503"),
        ("loop", "at most 5 redirects"),
        ("to-file", "302"),
        ("cut", "the response ended after 20 of"),
        ("slow", "the download took more than 0 s"),
    ],
)
def test_what_a_web_server_does_wrong_is_said(
    served: str, path: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(web, "FETCH_SECONDS", 0.3 if path == "slow" else 30.0)
    monkeypatch.setattr(web, "PAUSE", 0.01)
    with pytest.raises(DataError, match=said):
        web.fetch(f"{served}/{path}", allow_private=True)


def test_limits_of_the_web(served: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(web, "PAUSE", 0.01)
    assert web.fetch(f"{served}/busy-once", allow_private=True)
    with pytest.raises(DataError, match="an address of a private network"):
        web.fetch(f"{served}/1.png")
    monkeypatch.setattr(web, "MAX_BYTES", 30)
    with pytest.raises(DataError, match="more than 30 B"):
        web.fetch(f"{served}/1.png", allow_private=True)


def test_a_connection_that_breaks_without_a_text_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any, **__: Any) -> None:
        raise ConnectionResetError

    monkeypatch.setattr(web, "ATTEMPTS", 1)
    monkeypatch.setattr(web, "_opener", lambda _: SimpleNamespace(open=broken))
    with pytest.raises(DataError, match=r"the connection broke \(ConnectionResetError\)"):
        web.fetch("http://example.com/1.png")


PUBLIC = """
1.1.1.1 9.9.9.9 93.184.216.34 100.128.0.1 172.32.0.1 192.167.255.255 223.255.255.255
2606:4700:4700::1111 2a00:1450:4001::1 2001:4860:4860::8888
::ffff:9.9.9.9 64:ff9b::9.9.9.9 2002:909:909::1
"""
PRIVATE = """
0.0.0.0 10.1.2.3 100.64.0.1 127.0.0.1 127.8.9.1 169.254.169.254 172.16.0.1 172.31.255.255 192.0.0.8 192.0.2.1
192.88.99.1 192.168.1.1 198.18.0.1 198.51.100.1 203.0.113.1 224.0.0.1 239.1.1.1 240.0.0.1 255.255.255.255
:: ::1 ::127.0.0.1 ::9.9.9.9 ::ffff:127.0.0.1 ::ffff:10.0.0.1 ::ffff:169.254.169.254 ::ffff:0:127.0.0.1
64:ff9b::127.0.0.1 64:ff9b::10.0.0.1 64:ff9b::169.254.169.254 64:ff9b:1::1 64:ff9b:1::9.9.9.9 100::1
2001::1 2001:0:7f00:1:0:0:80ff:fffe 2001:2::1 2001:10::1 2001:db8::1 3fff::1
2002:7f00:1::1 2002:a00:1::1 2002:c0a8:101::1 2002:a9fe:a9fe::1 200::1 4000::1
fc00::1 fd00:ec2::254 fe80::1 fe80::1%eth0 fec0::1 feff::1 ff02::1 ff0e::1
"""


@pytest.mark.parametrize(
    ("addresses", "public"), [(PUBLIC, True), (PRIVATE, False)], ids=["public", "private"]
)
def test_only_what_anybody_reaches_is_public(addresses: str, public: bool) -> None:
    assert [address for address in addresses.split() if is_public(address) is not public] == []


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]", "[::ffff:127.0.0.1]", "0", "2130706433", "localhost"])
def test_however_a_private_address_is_written_it_is_not_connected_to(
    served: str, host: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(socket, "create_connection", lambda *_: pytest.fail("connected"))
    port = served.rpartition(":")[2]
    with pytest.raises(DataError, match="is an address of a private network"):
        web.fetch(f"http://{host}:{port}/1.png")


def test_names_and_redirects_are_looked_at_too(served: str, monkeypatch: pytest.MonkeyPatch) -> None:
    port = int(served.rpartition(":")[2])
    names = {"public.example": "127.0.0.1", "private.example": "64:ff9b::7f00:1"}
    resolve = socket.getaddrinfo

    def resolved(host: str, *given: Any, **named: Any) -> Any:
        return resolve(names.get(host, host), *given, **named)

    monkeypatch.setattr(socket, "getaddrinfo", resolved)
    monkeypatch.setattr(web, "is_public", lambda text: text == "127.0.0.1" or is_public(text))
    assert web.fetch(f"http://public.example:{port}/1.png")
    for url in (f"http://private.example:{port}/1.png", f"http://public.example:{port}/to-private"):
        with pytest.raises(
            DataError, match=r"private.example: 64:ff9b::(7f00:1|127\.0\.0\.1) is an address of"
        ):
            web.fetch(url)


def test_a_list_names_images_of_all_kinds(trained: str, served: str, tmp_path: Path) -> None:
    folder = images(tmp_path / "photos", 2, "a")
    lines = ["# mine", "a/0.png", "", str(folder / "a/1.png"), f"{served}/1.png", "a/0.png", "a/2.png"]
    lines += [f"file://{folder}/a/1.png", "ftp://example.com/1.png", "../photos/a/0.png"]
    (folder / "list.txt").write_text("\n".join(lines))
    more = {"allow_private": True, "max_bad_fraction": 0.5}
    summary = predicted(trained, folder / "list.txt", tmp_path / "out", **more)
    assert (summary["predicted"], summary["failed"], summary["ignored"]) == (4, 3, 3)
    assert {row["image"] for row in rows(tmp_path / "out")} == {lines[1], lines[3], lines[4], lines[7]}
    assert "there is no such list" in invalid(trained, folder / "other.txt", tmp_path / "out")


def test_a_list_of_windows_and_one_of_find(trained: str, tmp_path: Path) -> None:
    folder = images(tmp_path / "photos", 2, "a")
    (folder / "list.txt").write_bytes(b"\xef\xbb\xbfa/0.png\r\n./a/1.png\r\n")
    summary = predicted(trained, folder / "list.txt", tmp_path / "out")
    assert (summary["predicted"], summary["failed"]) == (2, 0)
    assert {row["image"] for row in rows(tmp_path / "out")} == {"a/0.png", "./a/1.png"}


def test_a_split_is_predicted_and_compared_with_its_labels(trained: str, tmp_path: Path) -> None:
    data = trained.removesuffix("run") + "data"
    summary = predicted(trained, data, tmp_path / "out", split="train", part_size=5, batch_size=4)
    assert [row["image"] for row in rows(tmp_path / "out")] == [f"train/{row:06d}" for row in range(9)]
    assert {label: sum(found.values()) for label, found in summary["confusion"].items()} == dict.fromkeys(
        CLASSES, 3
    )
    right = sum(found.get(label, 0) for label, found in summary["confusion"].items())
    assert summary["accuracy"] == pytest.approx(right / 9, abs=1e-6)
    page = (tmp_path / "out/summary.html").read_text()
    assert re.search(r"(cat|cow|dog)/\d\.png", page), "names of files"
    assert not re.search(r"train/\d{6}", page)
    assert page.count(", right (") == right
    assert "expected a split 'dev'" in invalid(trained, data, tmp_path / "other", split="dev")
    assert "split 'train'" in invalid(trained, data, tmp_path / "out", part_size=5)


def test_a_few_images_by_name(trained: str, served: str, tmp_path: Path) -> None:
    folder = images(tmp_path / "photos", 2, "a")
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"no image")
    names = [str(folder), str(broken), f"{served}/1.png", "nowhere.png"]
    found = adhoc.main(names, None, {"run": trained, "allow_private": True}, ())
    assert_document(found, list[PredictionRow | ReadError])
    assert [row["image"] for row in found] == [f"{folder}/a/0.png", f"{folder}/a/1.png", *names[1:]]
    assert ["error" in row for row in found] == [False, False, True, False, True]
    assert cast(PredictionRow, found[0])["class_name"] in CLASSES
    shown = here("predict", "--run", trained, f"{folder}/a/0.png", "--top", "3")
    assert shown.returncode == 0, shown.stderr
    assert all(name in shown.stdout for name in ("PROBABILITY", *CLASSES))
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=r"empty: no image found. Name images, or a folder that holds some"):
        adhoc.main([str(tmp_path / "empty")], None, {"run": trained}, ())
    mistyped = here("predict", "--run", trained, f"{folder}/a/9.png", "other.png")
    assert (mistyped.returncode, mistyped.stdout) == (64, "")
    assert "a/9.png: the file was deleted, or is a broken symlink; other.png: " in mistyped.stderr
