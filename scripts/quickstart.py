"""See scripts/quickstart. Everything it keeps lies in .quickstart/ beside this repository's other folders."""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

from scripts.processes import die_with_parent, free_port, start_s3, stop_server

ROOT = Path(__file__).resolve().parent.parent
OUTPUT = ROOT / ".quickstart"
HELD_OUT = 4  # every fourth image


def main() -> None:
    """Exits with the code of the first command that fails."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda number, _: sys.exit(128 + number))
    shutil.rmtree(OUTPUT, ignore_errors=True)
    OUTPUT.mkdir()
    with tempfile.TemporaryDirectory() as work:
        server, environment = start_s3(Path(work) / "s3.log")
        try:
            os.environ |= environment
            story()
        finally:
            stop_server(server)


def story() -> None:
    """The commands of the README, one after the other."""
    import boto3

    s3 = boto3.client("s3")
    s3.create_bucket(Bucket="quickstart")
    images = write_digits(OUTPUT / "digits")
    trainer("prepare", str(images / "train"), "s3://quickstart/digits", "--validation", "0.1")

    port = free_port()
    began = time.monotonic()
    train = ["train", "--recipe", "digits", "--ranks", "2"]
    for key, value in {
        "data.url": "s3://quickstart/digits",
        "run.url": "s3://quickstart/runs/digits-1",
        "run.checkpoint.every": "2 epochs",
        "metrics.port": port,
        "metrics.linger": "20s",
    }.items():
        train += ["--set", f"{key}={value}"]
    with start_trainer(*train) as training:
        metrics = last_metrics(training, f"http://127.0.0.1:{port}/metrics")
        if training.wait():
            sys.exit(training.returncode)
    seconds = time.monotonic() - began
    (OUTPUT / "metrics.prom").write_text(metrics)

    for key in ("weights/best.weights.h5", "weights/last.weights.h5", "metrics.csv"):
        s3.download_file("quickstart", f"runs/digits-1/{key}", str(OUTPUT / Path(key).name))
    for path in sorted((images / "held-out").rglob("*.png")):
        s3.upload_file(str(path), "quickstart", f"held-out/{path.parent.name}/{path.name}")
    trainer(
        "predict",
        *("--run", "s3://quickstart/runs/digits-1"),
        *("--input", "s3://quickstart/held-out", "--output", "s3://quickstart/predictions"),
    )
    s3.download_file("quickstart", "predictions/predictions-00000.jsonl", str(OUTPUT / "predictions.jsonl"))
    table(seconds, metrics)


def write_digits(folder: Path) -> Path:
    """scikit-learn's digits (8x8, 10 classes, 1 797 images) as RGB files in class folders."""
    import numpy as np
    from PIL import Image
    from sklearn.datasets import load_digits

    digits = load_digits()
    for number, (pixels, label) in enumerate(zip(digits.images, digits.target, strict=True)):
        grey = (pixels * 255 / 16).round().astype(np.uint8)
        path = folder / ("train" if number % HELD_OUT else "held-out") / str(label) / f"{number:04d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(grey).convert("RGB").save(path)
    return folder


def trainer(*arguments: str) -> None:
    with start_trainer(*arguments) as process:
        if process.wait():
            sys.exit(process.returncode)


def start_trainer(*arguments: str) -> "subprocess.Popen[bytes]":
    print(f"\n$ trainer {' '.join(arguments)}", flush=True)
    return subprocess.Popen([sys.executable, "-m", "trainer", *arguments], preexec_fn=die_with_parent)


def last_metrics(training: "subprocess.Popen[bytes]", url: str) -> str:
    """What /metrics says last, before the finished run stops lingering for it."""
    last = ""
    while training.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=2) as answer:
                last = answer.read().decode()
        except OSError:
            pass
        time.sleep(0.2)
    return last


def table(seconds: float, metrics: str) -> None:
    predictions = [json.loads(line) for line in (OUTPUT / "predictions.jsonl").open()]
    accuracy = sum(p["class_name"] == p["image"].split("/")[0] for p in predictions) / len(predictions)
    images = sum(
        float(line.split()[-1]) for line in metrics.splitlines() if line.startswith("trainer_images_total{")
    )
    print(
        f"""
accuracy      {accuracy:.4f} of {len(predictions)} held-out images
images/s      {images / seconds:,.0f} ({images:,.0f} images on two ranks in {seconds:.0f} s, start included)
weights       {OUTPUT / "best.weights.h5"}
history       {OUTPUT / "metrics.csv"}
predictions   {OUTPUT / "predictions.jsonl"}
metrics       {OUTPUT / "metrics.prom"}"""
    )


if __name__ == "__main__":
    main()
