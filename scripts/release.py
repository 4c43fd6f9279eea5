"""What makes a release, checked and built: `scripts/release`."""

import argparse
import hashlib
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from scripts import generated, versions

ROOT = Path(__file__).parents[1]
DIST = ROOT / "dist"
CHANGELOG = ROOT / "CHANGELOG.md"


def problems(version: str) -> Iterator[str]:
    """What stands against a release of this version, a line each."""
    for path in generated.outdated():
        yield f"{path.relative_to(ROOT)} is out of date: run scripts/generate"
    if versions.locked() != version:
        yield f"uv.lock is of {versions.locked()}, pyproject.toml of {version}: run uv lock"
    yield from changelog_problems(CHANGELOG.read_text(), version)
    if _git("status", "--porcelain"):
        yield "there are changes that are not committed"
    tagged = _git("rev-parse", "--quiet", "--verify", f"refs/tags/v{version}^{{commit}}")
    if tagged and tagged != _git("rev-parse", "HEAD"):
        yield f"the tag v{version} is of another commit: choose a new version"


def changelog_problems(text: str, version: str) -> Iterator[str]:
    """Whether the changelog has a dated section of the version, and nothing that waits for a later one."""
    sections = dict(re.findall(r"^## (.+)\n((?:(?!## ).*\n?)*)", text, re.MULTILINE))
    if not any(re.fullmatch(rf"\[?{re.escape(version)}\]? - \d{{4}}-\d\d-\d\d", name) for name in sections):
        yield f"CHANGELOG.md has no section '## [{version}] - YYYY-MM-DD'"
    if re.search(r"^- ", sections.get("[Unreleased]", ""), re.MULTILINE):
        yield "CHANGELOG.md has unreleased entries: move them to the section of this version"


def build(uv: str) -> list[Path]:
    """Wheel, packages of the charts and their checksums, in an empty dist/."""
    import helm_python

    shutil.rmtree(DIST, ignore_errors=True)
    subprocess.run([uv, "build", "--quiet", "--wheel", "--out-dir", DIST], cwd=ROOT, check=True)
    for chart in versions.CHARTS:
        helm_python.package(ROOT / "helm" / chart, destination=DIST)
    files = sorted([*DIST.glob("*.whl"), *DIST.glob("*.tgz")])
    sums = DIST / "SHA256SUMS"
    sums.write_text("".join(f"{hashlib.sha256(f.read_bytes()).hexdigest()}  {f.name}\n" for f in files))
    return [*files, sums]


def _git(*words: str) -> str:
    return subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True).stdout.strip()


def main() -> None:
    parser = argparse.ArgumentParser(prog="scripts/release", description=__doc__)
    parser.add_argument("uv", help=argparse.SUPPRESS)
    parser.add_argument("--check", action="store_true", help="build nothing")
    options = parser.parse_args()
    version = versions.version()
    found = list(problems(version))
    for problem in found:
        print(f"scripts/release: {problem}", file=sys.stderr)
    if found:
        sys.exit(64)
    if options.check:
        print(f"{version}: everything is in place")
        return
    for path in build(options.uv):
        print(f"wrote {path.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
