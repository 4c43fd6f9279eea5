"""The project's version: pyproject.toml holds it, `scripts/generate` writes it wherever else it stands."""

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]
CHARTS = ("cars-train", "cars-predict")

PLACES: dict[Path, tuple[str, ...]] = {
    ROOT / "trainer" / "__init__.py": (r'^(__version__ = ")[^"]+',),
    ROOT / "Dockerfile.gpu": (r"^(ARG VERSION=)\S+", r"^(# +docker build .* cars-trainer:)\S+"),
    **{ROOT / "helm" / chart / "Chart.yaml": (r"^(version: )\S+", r"^(appVersion: )\S+") for chart in CHARTS},
}
"""File -> patterns of which each is there once: what stands before the version, and the version."""


def version() -> str:
    """The version in pyproject.toml."""
    found: str = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    return found


def locked() -> str:
    """The version in uv.lock, which `uv lock` writes."""
    packages = tomllib.loads((ROOT / "uv.lock").read_text())["package"]
    (found,) = (package["version"] for package in packages if package["name"] == "cars-trainer")
    return str(found)


def stamped(path: Path, number: str | None = None) -> str:
    """The text of a file of `PLACES` with the version in it. Raises ValueError where its place is gone."""
    text = path.read_text()
    for pattern in PLACES[path]:
        text, count = re.subn(pattern, rf"\g<1>{number or version()}", text, flags=re.MULTILINE)
        if count != 1:
            raise ValueError(f"{path.relative_to(ROOT)}: expected {pattern} once, found it {count} times")
    return text
