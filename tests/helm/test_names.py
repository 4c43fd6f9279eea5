"""Every name that Helm takes for a release gives objects that Kubernetes takes."""

import re
from collections.abc import Iterator
from typing import Any

import pytest

from .charts import NAMES, least, render

RELEASES = [
    "cars-1", "123", "1e3", "0x1f", "true", "on", "no", "y", "null", "my.release", "0.1", "1.2.3",
    "a" * 52 + "b", "a" * 50 + "--b", "a" * 51 + ".b",
]  # fmt: skip
LABEL = r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?"
"""RFC 1123: a Job with indexes (its pods' host names are made of it) and a pod's subdomain."""
SERVICE = r"[a-z]([-a-z0-9]{0,61}[a-z0-9])?"
"""RFC 1035."""


@pytest.mark.parametrize("release", RELEASES)
@pytest.mark.parametrize("chart", NAMES)
def test_names_are_valid_and_strings(chart: str, release: str):
    rendered = render(chart, least(chart, serviceAccount={"name": ""}), release)
    for document in rendered.objects:
        name = document["metadata"]["name"]
        assert isinstance(name, str)
        assert re.fullmatch(SERVICE if document["kind"] == "Service" else LABEL, name)
        for key, value in words(document):
            assert isinstance(value, str), f"{document['kind']}: {key} is {value!r}"
    assert re.fullmatch(LABEL, rendered.job["metadata"]["name"] + "-9999")


@pytest.mark.parametrize("release", ["123", "true", "null", "cars-1"])
def test_a_job_has_its_releases_name(release: str):
    assert render("cars-train", least("cars-train"), release).job["metadata"]["name"] == release


def test_a_dot_becomes_a_dash():
    rendered = render("cars-train", least("cars-train"), "my.release")
    assert rendered.job["metadata"]["name"] == "my-release"
    assert rendered.job["metadata"]["labels"]["app.kubernetes.io/instance"] == "my.release"
    assert "kubectl -n training logs -f job/my-release" in rendered.notes
    assert "trainer status my.release" in rendered.notes


def test_the_pods_of_a_release_with_a_number_for_a_name_find_each_other():
    rendered = render("cars-train", least("cars-train"), "123")
    assert rendered["Service"]["metadata"]["name"] == rendered.pod["subdomain"] == "cars-123"
    assert rendered.environment["TRAINER_COORDINATOR"]["value"] == "123-0.cars-123"


@pytest.mark.parametrize("name", ["123", "true", "null"])
def test_names_that_a_user_gives_stay_strings(name: str):
    changes: dict[str, Any] = {
        "serviceAccount": {"create": False, "name": name},
        "s3": {"existingSecret": name, "secretKeys": {"accessKeyId": name}},
        "gang": {"existingSecret": name},
        "priorityClassName": name,
        "podLabels": {"team": name},
        "extraEnv": [{"name": "LEVEL", "value": name}],
        "image": {"tag": name},
        "podMonitor": {"enabled": True, "labels": {"release": name}},
    }
    rendered = render("cars-train", least("cars-train", **changes))
    assert rendered.pod["serviceAccountName"] == rendered.pod["priorityClassName"] == name
    for variable, key in (("AWS_ACCESS_KEY_ID", name), ("TRAINER_GANG_KEY", "key")):
        assert rendered.environment[variable]["valueFrom"]["secretKeyRef"] == {"name": name, "key": key}
    assert rendered.environment["LEVEL"]["value"] == name
    assert rendered["PodMonitor"]["metadata"]["labels"]["release"] == name


def words(value: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    """Every name, label and variable in an object, with its key."""
    if isinstance(value, dict):
        for inner, item in value.items():
            if inner in ("labels", "matchLabels", "selector", "annotations"):
                yield from ((name, text) for name, text in item.items() if not isinstance(text, dict))
            yield from words(item, inner)
    elif isinstance(value, list):
        for item in value:
            yield from words(item, key)
    elif key in ("name", "value", "subdomain", "serviceAccountName", "resourceNames", "namespace"):
        yield key, value
