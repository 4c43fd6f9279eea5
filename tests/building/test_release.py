"""scripts/release: what stands against a release is named before anything is built."""

import re

import pytest

from scripts import generated, release, versions

pytestmark = pytest.mark.fast

WAITING = (
    "# Changelog\n\n## [Unreleased]\n\n### Added\n- A thing.\n\n## [1.0.0] - 2026-01-02\n\n### Fixed\n- b\n"
)
READY = "# Changelog\n\n## [Unreleased]\n\n## [1.1.0] - 2026-02-03\n\n### Added\n- A thing.\n"


def test_a_version_with_a_dated_section_can_be_released():
    assert not list(release.changelog_problems(READY, "1.1.0"))


@pytest.mark.parametrize(
    ("text", "version", "expected"),
    [
        (WAITING, "1.0.0", ["CHANGELOG.md has unreleased entries: move them to the section of this version"]),
        (READY, "1.2.0", ["CHANGELOG.md has no section '## [1.2.0] - YYYY-MM-DD'"]),
        (
            READY.replace(" - 2026-02-03", ""),
            "1.1.0",
            ["CHANGELOG.md has no section '## [1.1.0] - YYYY-MM-DD'"],
        ),
    ],
)
def test_what_the_changelog_lacks_is_named(text: str, version: str, expected: list[str]):
    assert list(release.changelog_problems(text, version)) == expected


def test_what_is_not_committed_out_of_date_or_tagged_elsewhere_is_named(monkeypatch: pytest.MonkeyPatch):
    answers = {"status": " M README.md", "rev-parse --quiet": "aaaa", "rev-parse HEAD": "bbbb"}

    def git(*words: str) -> str:
        return next(answer for start, answer in answers.items() if " ".join(words).startswith(start))

    monkeypatch.setattr(release, "_git", git)
    monkeypatch.setattr(release, "changelog_problems", lambda text, version: iter(()))
    monkeypatch.setattr(generated, "outdated", lambda: [release.ROOT / "docs" / "metrics.md"])
    monkeypatch.setattr(versions, "locked", lambda: "0.0.1")
    assert list(release.problems("1.0.0")) == [
        "docs/metrics.md is out of date: run scripts/generate",
        "uv.lock is of 0.0.1, pyproject.toml of 1.0.0: run uv lock",
        "there are changes that are not committed",
        "the tag v1.0.0 is of another commit: choose a new version",
    ]


def test_the_changelog_has_an_unreleased_section_and_dates():
    headings = re.findall(r"^## (.+)$", release.CHANGELOG.read_text(), re.MULTILINE)
    assert headings[0] == "[Unreleased]"
    assert all(re.fullmatch(r"\[\d+\.\d+\.\d+\] - \d{4}-\d\d-\d\d", heading) for heading in headings[1:])
