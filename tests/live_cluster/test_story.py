"""The five commands of the story on a real cluster, and what a cluster does to pods meanwhile."""

import json
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from kubernetes import client as kubernetes_client
from kubernetes import config as kubernetes_config

from .conftest import client
from .stack import Stack, until

pytestmark = pytest.mark.timeout(1200)

KILL_RANK = """
import os, signal
for pid in filter(str.isdigit, os.listdir("/proc")):
    words = open(f"/proc/{pid}/cmdline", "rb").read().split(b"\\0")
    if pid != "1" and b"train" in words:
        os.kill(int(pid), signal.SIGKILL)
"""


def test_a_run_goes_on_whatever_happens_and_its_weights_name_photos(
    stack: Stack, say: Callable[[str], None], tmp_path: Path
):
    run = {"url": "s3://cars/runs/story", "checkpoint": {"every": "5s"}, "grace": "20s"}
    stack.install("cars-train", "story", run={"run": run, "train": {"epochs": 100}})
    with (tmp_path / "log").open("w") as log:
        follower = subprocess.Popen(
            [sys.executable, "-m", "trainer", "logs", "story", "-n", stack.namespace, "-f"], stdout=log
        )
    try:
        found, seconds = until(stack.trains("story"), seconds=300, what="the first step")
        say(f"install to the first step: {seconds:.1f} s")
        for what, event in {
            "a rank killed": lambda: stack.kubectl(
                "exec", stack.pod("story", 1), "--", "python", "-c", KILL_RANK
            ),
            "pod 0 deleted": lambda: stack.kubectl("delete", "pod", stack.pod("story", 0), "--wait=false"),
            "pod 1 evicted": lambda: evict(stack, stack.pod("story", 1)),
        }.items():
            event()
            found, seconds = until(
                stack.trains("story", generation=found.generation), seconds=300, what=f"a step after {what}"
            )
            say(f"{what}, to the next step: {seconds:.1f} s (generation {found.generation})")
        status = json.loads(stack.trainer("status", "story", "-n", stack.namespace, "--json"))
        assert status["state"] == "running"
        assert status["progress"]["world_size"] == 2
        assert stack.kubectl("logs", "job/story")
        stack.trainer("wait", "story", "-n", stack.namespace)
        assert follower.wait(60) == 0
    finally:
        follower.kill()
        follower.wait()
    said = (tmp_path / "log").read_text()
    assert "generation 4: 2 ranks on 2 pods" in said
    assert said.count("resuming at step") >= 2
    assert "finished: 100 epochs" in said

    weights = stack.trainer("weights", "story", str(tmp_path / "best.weights.h5"), "-n", stack.namespace)
    assert Path(weights.strip()).stat().st_size > 10_000
    client(stack).download_file(
        "cars", "runs/story/weights/last.weights.h5", str(tmp_path / "last.weights.h5")
    )

    stack.install("cars-predict", "names", run="s3://cars/runs/story", output="s3://cars/names", partSize=40)
    seconds = completed(stack, "names")
    say(f"113 photos named by two pods in {seconds:.1f} s")
    predictions = lines(stack, "names/predictions-")
    assert len(predictions) == 113
    assert sum(p["class_name"] == p["image"].split("/")[0] for p in predictions) > 100
    assert [p["image"] for p in lines(stack, "names/errors.jsonl")] == ["0/broken.png"]

    for release in ("story", "names"):
        stack.uninstall(release)
        gone(stack, release)


def test_four_pods_predict_and_one_is_deleted_meanwhile(stack: Stack, say: Callable[[str], None]):
    run, count = "s3://cars/runs/short", 1500
    sets = ("data.url=s3://cars/digits", f"run.url={run}", "train.epochs=1")
    stack.trainer("train", "--recipe", "digits", *(word for each in sets for word in ("--set", each)))
    store = client(stack)
    photos = store.list_objects_v2(Bucket="cars", Prefix="photos/")["Contents"]
    image = store.get_object(Bucket="cars", Key=photos[-1]["Key"])["Body"].read()
    with ThreadPoolExecutor(8) as pool:
        names = [f"{number:04d}.png" for number in range(count)]
        list(pool.map(lambda name: store.put_object(Bucket="cars", Key=f"many/{name}", Body=image), names))
    values = {"run": run, "input": "s3://cars/many", "output": "s3://cars/shared", "workers": 4}
    stack.install("cars-predict", "shared", **values, partSize=5, batchSize=1)
    until(lambda: lines(stack, "shared/predictions-"), seconds=300, what="the first part")
    done = len(lines(stack, "shared/predictions-"))
    stack.kubectl("delete", "pod", stack.pod("shared", 2), "--wait=false")
    assert done < count
    seconds = completed(stack, "shared")
    say(f"a pod of four deleted when {done} of {count} were done; {seconds:.1f} s later all were")
    assert sorted(p["image"] for p in lines(stack, "shared/predictions-")) == names
    summary = json.loads(store.get_object(Bucket="cars", Key="shared/summary.json")["Body"].read())
    assert (summary["predicted"], summary["failed"]) == (count, 0)
    stack.uninstall("shared")
    gone(stack, "shared")


def test_a_run_that_is_uninstalled_goes_on_when_installed_again(stack: Stack, say: Callable[[str], None]):
    run = {"url": "s3://cars/runs/again", "checkpoint": {"every": "1h"}, "grace": "20s"}
    values = {"workers": 1, "run": {"run": run, "train": {"epochs": 400}}}
    stack.install("cars-train", "again", **values)
    found, _ = until(stack.trains("again"), seconds=300, what="the first step")
    stack.uninstall("again")
    seconds = gone(stack, "again")
    say(f"uninstalled in mid-run: everything is gone after {seconds:.1f} s")
    kept = [o["Key"] for o in client(stack).list_objects_v2(Bucket="cars", Prefix="runs/again/")["Contents"]]
    saved = max(int(key.split("/")[3]) for key in kept if key.endswith("commit.json"))
    assert saved >= found.step

    stack.install("cars-train", "again", **values)
    resumed, _ = until(stack.trains("again"), seconds=300, what="the first step again")
    assert resumed.step > saved

    stack.upgrade("cars-train", "again", workers=2)
    grown, seconds = until(
        stack.trains("again", generation=resumed.generation), seconds=300, what="a step with two pods"
    )
    say(f"one pod to two, to the next step: {seconds:.1f} s")
    assert grown.world_size == 2
    assert grown.step > resumed.step
    stack.uninstall("again")


def test_a_wrong_run_fails_at_once_and_says_why(stack: Stack):
    stack.install("cars-train", "wrong", run={"run": {"url": "s3://cars/runs/wrong"}, "train": {"lanes": 7}})
    said = stack.trainer("wait", "wrong", "-n", stack.namespace, "--timeout", "120", code=64)
    assert "expected a divisor of train.batch_size 32, received 7" in said
    stack.uninstall("wrong")


def test_wrong_keys_fail_at_once_and_say_so(stack: Stack):
    stack.kubectl(
        "create", "secret", "generic", "stale",
        "--from-literal=AWS_ACCESS_KEY_ID=cars-dev", "--from-literal=AWS_SECRET_ACCESS_KEY=not-this-one",
    )  # fmt: skip
    stack.install(
        "cars-train", "stale", s3={"existingSecret": "stale"}, run={"run": {"url": "s3://cars/runs/stale"}}
    )
    said = stack.trainer("wait", "stale", "-n", stack.namespace, "--timeout", "120", code=64)
    assert "SignatureDoesNotMatch" in said or "denied" in said or "credentials" in said
    stack.uninstall("stale")


def completed(stack: Stack, job: str) -> float:
    """Seconds until a Job is complete."""
    words = ("get", "job", job, "-o", "jsonpath={.status.conditions[*].type}")
    return until(lambda: "Complete" in stack.kubectl(*words), seconds=300, what=f"{job} is complete")[1]


def gone(stack: Stack, release: str) -> float:
    """Seconds until nothing is left of a release."""
    return until(lambda: not stack.left_of(release), seconds=60, what=f"nothing is left of {release}")[1]


def evict(stack: Stack, pod: str) -> None:
    """What `kubectl drain` asks for each pod of a node."""
    kubernetes_config.load_kube_config()
    metadata = kubernetes_client.V1ObjectMeta(name=pod, namespace=stack.namespace)
    kubernetes_client.CoreV1Api().create_namespaced_pod_eviction(
        pod, stack.namespace, kubernetes_client.V1Eviction(metadata=metadata)
    )


def lines(stack: Stack, prefix: str) -> list[dict[str, str]]:
    """Every line of every object under a prefix."""
    store = client(stack)
    keys = [o["Key"] for o in store.list_objects_v2(Bucket="cars", Prefix=prefix).get("Contents", [])]
    bodies = [store.get_object(Bucket="cars", Key=key)["Body"].read() for key in keys]
    return [json.loads(line) for body in bodies for line in body.splitlines()]
