"""The charts, read and rendered by Helm's own library, without a cluster or a helm binary."""

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
    """What `helm install release chart -f values` would send, by kind, and what it would say."""

    objects: tuple[dict[str, Any], ...]
    notes: str

    def __getitem__(self, kind: str) -> dict[str, Any]:
        (found,) = (o for o in self.objects if o["kind"] == kind)
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


def render(chart: str, values: dict[str, Any], release: str = "cars-1") -> Rendered:
    """Raises helm_python.HelmError where helm would refuse the values."""
    with helm_python.Chart.load(CHARTS / chart) as loaded:
        files = loaded.render(values, name=release, namespace="training")
    objects = [
        document
        for name, text in sorted(files.items())
        if not name.endswith(".txt")
        for document in yaml.safe_load_all(text)
        if document
    ]
    (notes,) = (text for name, text in files.items() if name.endswith("NOTES.txt"))
    return Rendered(tuple(objects), notes)


@cache
def scenario(path: Path) -> Rendered:
    """One of the charts' ci/*-values.yaml, rendered."""
    return render(path.parents[1].name, read(path))


def smallest(chart: str, **changes: Any) -> Rendered:
    """The least that installs, with `changes` laid over."""
    return render(chart, merged(read(CHARTS / chart / "ci" / "smallest-values.yaml"), changes))
