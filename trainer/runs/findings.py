"""The failed audits of a run: the steps since the last passed audit are no longer trusted.

They are one object, written as a whole. Checkpoints of these steps are not restored, and retention removes
them; later generations compute the steps again.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, TypedDict

from trainer.errors import RunError
from trainer.runs import layout
from trainer.runs.fence import Fence, publish
from trainer.runs.layout import Attempt
from trainer.storage.base import Store

FORMAT = 1


@dataclass(frozen=True)
class AuditFinding:
    """One failed audit.

    Attributes:
        step: the step with wrong gradients, counted from 0.
        trusted: the number of finished steps that are trusted.
        generation: the number of the token under which the audit ran.
        culprits: the ranks whose gradients differ from the others', each with its pod, node and device.
        certain: False if there was no majority to show which ranks were right.
        at: the time, in ISO 8601.
    """

    step: int
    trusted: int
    generation: int
    culprits: tuple[str, ...]
    certain: bool
    at: str

    def doubts(self, attempt: Attempt) -> bool:
        """Whether this checkpoint may contain results of the faulty rank."""
        return attempt.generation <= self.generation and attempt.step > self.trusted


class AuditDocument(TypedDict):
    """audit.json in a run's folder, once an audit (`train.audit`) has failed.

    Checkpoints of up to the generation of a finding with more than its `trusted` steps are not used any more.

    Attributes:
        format: 1.
        findings: the failed audits.
    """

    format: int
    findings: list[AuditFinding]


def read_findings(store: Store) -> list[AuditFinding]:
    """All findings of a run, empty without such an object. Raises RunError if the object is not valid."""
    try:
        data = store.get(layout.AUDIT)
    except FileNotFoundError:
        return []
    try:
        document = json.loads(data)
        if document["format"] <= FORMAT:
            return [_finding(values) for values in document["findings"]]
    except (ValueError, KeyError, TypeError) as error:
        raise RunError(
            f"{store.url}/{layout.AUDIT} is not valid: {type(error).__name__}: {error}",
            "Restore it from an older version; without it untrusted checkpoints would be used",
        ) from None
    raise RunError(
        f"{store.url}/{layout.AUDIT} has format {document['format']}; this trainer reads up to {FORMAT}",
        "Use the newer trainer that wrote it",
    )


def add_finding(fence: Fence, finding: AuditFinding) -> None:
    """Appends a finding to the run's. Raises Superseded if a higher token exists."""
    findings = [*read_findings(fence.store), finding]
    document: AuditDocument = {"format": FORMAT, "findings": findings}
    publish(fence.store, fence, layout.AUDIT, json.dumps(document, indent=1, default=asdict).encode())


def is_doubted(attempt: Attempt, findings: Sequence[AuditFinding]) -> bool:
    return any(finding.doubts(attempt) for finding in findings)


def _finding(values: dict[str, Any]) -> AuditFinding:
    finding = AuditFinding(**{**values, "culprits": tuple(values["culprits"])})
    if not all(isinstance(n, int) for n in (finding.step, finding.trusted, finding.generation)):
        raise ValueError("expected numbers of steps")
    return finding
