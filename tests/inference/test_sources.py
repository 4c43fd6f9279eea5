"""Images from a dataset, a list, the web, and a few by name."""

import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.commands import trainer
from tests.inference.conftest import invalid, predicted, rows
from tests.trained import CLASSES, images
from trainer.errors import DataError
from trainer.inference import few
from trainer.inference.sources import web


@pytest.fixture
def served(tmp_path: Path) -> Iterator[str]:
    """A web server on this machine. /1.png is an image, the other paths are trouble."""
    content = (images(tmp_path / "web", 1, "a") / "a/0.png").read_bytes()
    answers: dict[str, int] = {}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            answers[self.path] = answers.get(self.path, 0) + 1
            code = {"/loop": 302, "/gone": 404, "/to-file": 302, "/busy": 503}.get(self.path, 200)
            if self.path == "/busy-once" and answers[self.path] == 1:
                code = 503
            self.send_response(code)
            if code == 302:
                self.send_header("Location", "file:///etc/passwd" if self.path == "/to-file" else "/loop")
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
        ("gone", "the server answered 404"),
        ("busy", "the server answered 503"),
        ("loop", "at most 5 redirects"),
        ("to-file", "302"),
        ("cut", "it ended after 20 of"),
        ("slow", "not all of it came within 0 s"),
    ],
)
def test_what_a_web_server_does_wrong_is_said(
    served: str, path: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(web, "SECONDS", 0.3 if path == "slow" else 30.0)
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


def test_a_split_is_predicted_and_compared_with_its_labels(trained: str, tmp_path: Path) -> None:
    data = trained.removesuffix("run") + "data"
    summary = predicted(trained, data, tmp_path / "out", split="train", part_size=5, batch_size=4)
    assert [row["image"] for row in rows(tmp_path / "out")] == [f"train/{row:06d}" for row in range(9)]
    assert {label: sum(found.values()) for label, found in summary["confusion"].items()} == dict.fromkeys(
        CLASSES, 3
    )
    right = sum(found.get(label, 0) for label, found in summary["confusion"].items())
    assert summary["accuracy"] == pytest.approx(right / 9, abs=1e-6)
    assert "expected a split 'dev'" in invalid(trained, data, tmp_path / "other", split="dev")
    assert "split 'train'" in invalid(trained, data, tmp_path / "out", part_size=5)


def test_a_few_images_by_name(trained: str, served: str, tmp_path: Path) -> None:
    folder = images(tmp_path / "photos", 2, "a")
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"no image")
    names = [str(folder), str(broken), f"{served}/1.png", "nowhere.png"]
    found = few.main(names, None, {"run": trained, "allow_private": True}, ())
    assert [row["image"] for row in found] == [f"{folder}/a/0.png", f"{folder}/a/1.png", *names[1:]]
    assert ["error" in row for row in found] == [False, False, True, False, True]
    assert found[0]["class_name"] in CLASSES
    shown = trainer("predict", "--run", trained, f"{folder}/a/0.png", "--top", "3")
    assert shown.returncode == 0, shown.stderr
    assert all(name in shown.stdout for name in ("PROBABILITY", *CLASSES))
