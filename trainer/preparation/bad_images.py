"""Images that cannot be used: each with its reason, and how many of them are too many."""

from collections.abc import Sequence
from typing import Literal, TypedDict

from trainer.errors import DataError
from trainer.output.units import abbreviate

OnBad = Literal["fail", "skip"]
MAX_NAMED_IMAGES = 20
"""Images that are named in an error."""


class BadImagesReport(TypedDict):
    """Why nothing was prepared.

    Attributes:
        bad: name and reason of each image that cannot be used.
    """

    bad: list[str]


class BadImages:
    """The problems of a source's images so far. `fatal`: there is one, and none may be."""

    def __init__(self, where: str, total: int, on_bad: OnBad, most: float) -> None:
        self.problems: list[str] = []
        self.on_bad = on_bad
        self._where, self._total, self._most = where, total, most

    @property
    def fatal(self) -> bool:
        return self.on_bad == "fail" and bool(self.problems)

    def add(self, problems: Sequence[str]) -> None:
        """Raises DataError where they are skipped and become too many."""
        self.problems += problems
        if self.on_bad == "skip" and len(self.problems) > self._most * self._total:
            raise BadImagesError(
                f"{self._said()}, more than --max-bad {self._most:g} allows: {self._named()}",
                "Replace or remove them, or raise --max-bad",
                self.problems,
            )

    def check(self) -> None:
        """Raises DataError that names them where none may be."""
        if self.fatal:
            raise BadImagesError(
                f"{self._said()}: {self._named()}",
                "Replace or remove them, or give --on-bad skip",
                self.problems,
            )

    def _said(self) -> str:
        return f"{self._where}: {len(self.problems):,} of {self._total:,} images cannot be used"

    def _named(self) -> str:
        return abbreviate(self.problems, MAX_NAMED_IMAGES, separator="; ")


class BadImagesError(DataError):
    """All bad images in `problems`; the message names the first."""

    def __init__(self, problem: str, remedy: str, problems: Sequence[str]) -> None:
        super().__init__(problem, remedy)
        self.problems = tuple(problems)
