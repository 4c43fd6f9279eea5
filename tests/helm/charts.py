"""The charts, read and rendered by Helm's own library, without a cluster or a helm binary."""

import json
import re
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import helm_python
import yaml

CHARTS = Path(__file__).parents[2] / "helm"
NAMES = ("cars-predict", "cars-train")
SCENARIOS = sorted(path for name in NAMES for path in (CHARTS / name / "ci").glob("*-values.yaml"))


@dataclass(frozen=True)
class Rendered:
    """What `helm install release chart -f values` would send, by kind, and what it would say.

    `hooks`: what `helm test` and `helm rollback` would send.
    """

    objects: tuple[dict[str, Any], ...]
    notes: str
    hooks: tuple[dict[str, Any], ...] = ()

    def __getitem__(self, kind: str) -> dict[str, Any]:
        (found,) = (o for o in self.objects if o["kind"] == kind)
        return found

    @property
    def config(self) -> dict[str, Any]:
        """The ConfigMap that the container reads its configuration from."""
        (name,) = (v["configMap"]["name"] for v in self.pod["volumes"] if v["name"] == "config")
        (found,) = (o for o in self.objects if o["kind"] == "ConfigMap" and o["metadata"]["name"] == name)
        return found

    @property
    def environment(self) -> dict[str, dict[str, Any]]:
        """The container's variables by name; each is there once."""
        entries = self.container["env"]
        found = {entry["name"]: entry for entry in entries}
        assert len(found) == len(entries)
        return found

    @property
    def job(self) -> dict[str, Any]:
        return self["Job"]

    @property
    def pod(self) -> dict[str, Any]:
        spec: dict[str, Any] = self.job["spec"]["template"]["spec"]
        return spec

    @property
    def container(self) -> dict[str, Any]:
        (container,) = self.pod["containers"]
        found: dict[str, Any] = container
        return found


def read(values: Path) -> dict[str, Any]:
    """A values file as plain values."""
    found: dict[str, Any] = yaml.safe_load(values.read_text())
    return found


def merged(values: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """`values` with `changes` laid over, as a second `-f` would."""
    whole = dict(values)
    for key, value in changes.items():
        old = whole.get(key)
        whole[key] = merged(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
    return whole


def render(
    chart: str,
    values: dict[str, Any],
    release: str = "cars-1",
    *,
    live: Sequence[dict[str, Any]] | None = None,
    others: Sequence[dict[str, Any]] = (),
    kubernetes: str = "",
) -> Rendered:
    """What `helm install` sends or, over the `live` objects of the cluster, what `helm upgrade` does; to a
    cluster of version `kubernetes`, by default that of Helm's own client, with the Jobs `others` in it.

    Raises helm_python.HelmError where helm would refuse the values.
    """
    with tempfile.TemporaryDirectory() as folder:
        upgrade = live is not None
        path = CHARTS / chart
        if upgrade or kubernetes or others:
            path = _copied(chart, Path(folder), live or (), others, kubernetes)
        with helm_python.Chart.load(path) as loaded:
            files = loaded.render(
                values, name=release, namespace="training", is_install=not upgrade, is_upgrade=upgrade
            )
    objects = [
        document
        for name, text in sorted(files.items())
        if not name.endswith(".txt")
        for document in yaml.safe_load_all(text)
        if document
    ]
    (notes,) = (text for name, text in files.items() if name.endswith("NOTES.txt"))
    hooks = [o for o in objects if "helm.sh/hook" in o["metadata"].get("annotations", {})]
    return Rendered(tuple(o for o in objects if o not in hooks), notes, tuple(hooks))


def _copied(
    chart: str,
    folder: Path,
    live: Sequence[dict[str, Any]],
    others: Sequence[dict[str, Any]],
    kubernetes: str,
) -> Path:
    """A copy of the chart whose one `lookup`, which finds nothing without a cluster, finds `live`, and whose
    cluster has the version `kubernetes`."""
    copy = folder / chart
    shutil.copytree(CHARTS / chart, copy)
    found = {f"{o['apiVersion']} {o['kind']} {o['metadata']['name']}": o for o in live}
    found["batch/v1 Job "] = {"items": list(others)}
    fed = (
        f"get ({json.dumps(json.dumps(found))} | fromJson)"
        ' (printf "%s %s %s" .apiVersion .kind .name) | default dict | toJson'
    )
    changes = {r"lookup .apiVersion .kind .namespace .name \| toJson": fed}
    if kubernetes:
        changes[r"\.Capabilities\.KubeVersion\.Version"] = json.dumps(kubernetes)
    helpers = copy / "templates" / "_cars.tpl"
    text = helpers.read_text()
    for pattern, replacement in changes.items():
        text, count = re.subn(pattern, replacement.replace("\\", r"\\"), text)
        assert count == 1, pattern
    helpers.write_text(text)
    return copy


@cache
def scenario(path: Path, kubernetes: str = "") -> Rendered:
    """One of the charts' ci/*-values.yaml, rendered."""
    return render(path.parents[1].name, read(path), kubernetes=kubernetes)


def smallest(chart: str, **changes: Any) -> Rendered:
    """The least that installs, with `changes` laid over."""
    return render(chart, least(chart, **changes))


def least(chart: str, **changes: Any) -> dict[str, Any]:
    """The values of the least that installs, with `changes` laid over."""
    return merged(read(CHARTS / chart / "ci" / "smallest-values.yaml"), changes)
