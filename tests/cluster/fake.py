"""A small Kubernetes API on loopback: it answers what it is told it holds, over HTTP, to the real client."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import yaml

Object = dict[str, Any]
BORN = "2026-11-20T12:00:00Z"


@dataclass
class FakeCluster:
    """
    Attributes:
        logs: pod -> lines with their times, as the kubelet keeps them.
        answers: (pod, path) -> status and body of the pod's own endpoint.
        forbidden: resources that may not be asked for, such as `pods/log`.
        steps: called one after the other, each time pods are listed: what happens meanwhile.
        cut: pods whose log's connection is cut once, after so many lines.
        helm: release -> the status that Helm has noted of its newest revision.
        changes: what was changed: (verb, path, body).
    """

    jobs: list[Object] = field(default_factory=list)
    pods: list[Object] = field(default_factory=list)
    events: list[Object] = field(default_factory=list)
    config_maps: dict[str, dict[str, str]] = field(default_factory=dict)
    namespaces: list[str] = field(default_factory=lambda: ["training"])
    logs: dict[str, list[str]] = field(default_factory=dict)
    answers: dict[tuple[str, str], tuple[int, str]] = field(default_factory=dict)
    forbidden: set[str] = field(default_factory=set)
    steps: list[Any] = field(default_factory=list)
    cut: dict[str, int] = field(default_factory=dict)
    helm: dict[str, str] = field(default_factory=dict)
    changes: list[tuple[str, str, Object]] = field(default_factory=list)

    def answer(self, path: str, query: dict[str, list[str]]) -> tuple[int, str]:
        parts = path.strip("/").split("/")
        parts = parts[2:] if parts[0] == "api" else parts[3:]
        if len(parts) == 2:
            return (
                (200, "{}")
                if parts[1] in self.namespaces
                else _status(404, f'namespaces "{parts[1]}" not found')
            )
        _, _, resource, *rest = parts
        name, inner = (rest[0] if rest else ""), "/".join(rest[1:2])
        asked = f"{resource}/{inner}" if inner else resource
        if asked in self.forbidden:
            return _status(403, f'{asked} is forbidden: User "me" cannot get resource "{asked}"')
        if resource == "jobs":
            return _list(_selected(self.jobs, query))
        if resource == "events":
            return _list(self.events)
        if resource == "secrets":
            notes = [
                {"metadata": {"labels": {"owner": "helm", "name": name, "version": str(n), "status": status}}}
                for name, newest in self.helm.items()
                for n, status in enumerate(("superseded", newest), 9)
            ]
            return _list(_selected(notes, query))
        if resource == "configmaps" and not name:
            labels = {"app.kubernetes.io/part-of": "cars-trainer"}
            found = [
                {"metadata": {"labels": labels | {"app.kubernetes.io/instance": name.rpartition("-")[0]}}}
                | {"data": data}
                for name, data in self.config_maps.items()
            ]
            return _list(_selected(found, query))
        if resource == "configmaps":
            data = self.config_maps.get(name)
            return (
                (200, json.dumps({"data": data})) if data else _status(404, f'configmaps "{name}" not found')
            )
        if inner == "proxy":
            status, body = self.answers.get((name.partition(":")[0], "/" + "/".join(rest[2:])), (0, ""))
            return (
                (status, body)
                if status
                else _status(503, "error trying to reach service: connection refused")
            )
        if self.steps:
            self.steps.pop(0)()
        return _list(_selected(self.pods, query))


@contextmanager
def serving(cluster: FakeCluster, folder: Path) -> Iterator[Path]:
    """-> a kubeconfig for it."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            url = urlsplit(self.path)
            query = parse_qs(url.query)
            if (
                url.path.endswith("/log")
                and "/proxy/" not in url.path
                and "pods/log" not in cluster.forbidden
            ):
                self._log(url.path.split("/")[-2])
                return
            status, body = cluster.answer(url.path, query)
            self.send_response(status)
            self.send_header("Content-Length", str(len(body.encode())))
            self.end_headers()
            self.wfile.write(body.encode())

        def do_PATCH(self) -> None:
            self._change()

        def do_DELETE(self) -> None:
            self._change()

        def _change(self) -> None:
            url = urlsplit(self.path)
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"] or 0)) or "{}")
            cluster.changes.append((self.command, url.path.rpartition("/training/")[2], body))
            name = url.path.split("/")[6]
            known = name in [pod["metadata"]["name"] for pod in cluster.pods]
            status, text = (200, "{}") if known else _status(404, f"pods {name!r} not found")
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text.encode())

        def _log(self, pod: str) -> None:
            lines = cluster.logs[pod]
            body = "".join(f"{line}\n" for line in lines).encode()
            cut = cluster.cut.pop(pod, None)
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write("".join(f"{line}\n" for line in lines[:cut]).encode())

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    path = folder / "kubeconfig"
    path.write_text(
        yaml.safe_dump(
            {
                "clusters": [{"name": "c", "cluster": {"server": f"http://127.0.0.1:{server.server_port}"}}],
                "users": [{"name": "u", "user": {"token": "t"}}],
                "contexts": [
                    {"name": "tests", "context": {"cluster": "c", "user": "u", "namespace": "training"}}
                ],
                "current-context": "tests",
            }
        )
    )
    try:
        yield path
    finally:
        server.shutdown()
        server.server_close()


def job(name: str = "cars-1", *, wanted: int = 2, chart: str = "cars-train", **conditions: str) -> Object:
    """A Job as the API gives it; a condition by its type, with its message."""
    return {
        "metadata": {
            "name": name,
            "namespace": "training",
            "creationTimestamp": BORN,
            "labels": {
                "app.kubernetes.io/part-of": "cars-trainer",
                "app.kubernetes.io/instance": name,
                "app.kubernetes.io/name": chart,
            },
        },
        "spec": {
            "completions": wanted,
            "template": {"spec": {"volumes": [{"name": "config", "configMap": {"name": f"{name}-1234"}}]}},
        },
        "status": {
            "conditions": [
                {"type": kind, "status": "True", "reason": "", "message": text, "lastTransitionTime": BORN}
                for kind, text in conditions.items()
            ]
        },
    }


def pod(
    index: int = 0,
    phase: str = "Running",
    *,
    job: str = "cars-1",
    uid: str = "a",
    state: Object | None = None,
    conditions: list[Object] | None = None,
    ready: bool = True,
    created: str = BORN,
    leaving: bool = False,
    before: Object | None = None,
) -> Object:
    """A pod as the API gives it; `before` is how its container ended the last time."""
    states = {"Running": {"running": {}}, "Succeeded": {"terminated": {"exitCode": 0, "reason": "Completed"}}}
    return {
        "metadata": {
            "name": f"{job}-{index}-{uid}",
            "uid": f"{index}-{uid}",
            "creationTimestamp": created,
            "labels": {"batch.kubernetes.io/job-name": job},
            "annotations": {"batch.kubernetes.io/job-completion-index": str(index)},
            **({"deletionTimestamp": BORN} if leaving else {}),
        },
        "spec": {
            "nodeName": "node-1",
            "containers": [{"name": "trainer", "ports": [{"name": "metrics", "containerPort": 9090}]}],
        },
        "status": {
            "phase": phase,
            "conditions": conditions or [],
            "containerStatuses": [
                {
                    "name": "trainer",
                    "ready": ready,
                    "state": states.get(phase, {}) if state is None else state,
                    "lastState": before or {},
                    "restartCount": int(before is not None),
                }
            ],
        },
    }


def ended(code: int, message: str = "", reason: str = "Error") -> Object:
    """The state of a container that has ended."""
    return {"terminated": {"exitCode": code, "reason": reason, "message": message}}


def dark(*, since: str = BORN) -> list[Object]:
    """The conditions of a pod whose node does not respond, as Kubernetes 1.36 gives them: no reason."""
    return [
        {"type": "PodReadyToStartContainers", "status": "True", "lastTransitionTime": BORN},
        {"type": "Initialized", "status": "True", "lastTransitionTime": BORN},
        {"type": "Ready", "status": "False", "lastTransitionTime": since},
        {"type": "ContainersReady", "status": "True", "lastTransitionTime": BORN},
        {"type": "PodScheduled", "status": "True", "lastTransitionTime": BORN},
    ]


def _selected(objects: list[Object], query: dict[str, list[str]]) -> list[Object]:
    wanted = [pair.split("=") for pair in query.get("labelSelector", [""])[0].split(",") if pair]
    return [o for o in objects if all(o["metadata"]["labels"].get(key) == value for key, value in wanted)]


def _list(items: list[Object]) -> tuple[int, str]:
    return 200, json.dumps({"items": items})


def _status(code: int, message: str) -> tuple[int, str]:
    return code, json.dumps({"kind": "Status", "message": message, "code": code})
