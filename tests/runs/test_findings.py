"""What an audit found stays found, and says which checkpoints are not trusted."""

from pathlib import Path

import pytest

from trainer.errors import RunError
from trainer.runs import layout
from trainer.runs.fence import Fence, Superseded
from trainer.runs.findings import AuditFinding, add_finding, is_doubted, read_findings
from trainer.runs.layout import Attempt
from trainer.storage import open_store

pytestmark = pytest.mark.fast


def finding(trusted: int, generation: int) -> AuditFinding:
    culprits = ("rank 1 (pod a, CPU)",)
    return AuditFinding(
        trusted + 9, trusted, generation, culprits, certain=True, at="2026-11-28T00:00:00+00:00"
    )


def test_findings_add_up(tmp_path: Path) -> None:
    store = open_store(str(tmp_path))
    assert read_findings(store) == []
    fence = Fence.take(store, {})
    add_finding(fence, finding(20, 1))
    add_finding(fence, finding(30, 2))
    assert read_findings(store) == [finding(20, 1), finding(30, 2)]


def test_what_came_after_the_last_audit_is_doubted_until_a_later_generation_made_it_again() -> None:
    found = [finding(20, 3), finding(40, 5)]
    for step, generation, doubted in (
        (20, 3, False),
        (21, 3, True),
        (21, 1, True),
        (21, 4, False),
        (41, 4, True),
        (41, 5, True),
        (41, 6, False),
    ):
        assert is_doubted(Attempt(step, generation, "u"), found) is doubted


def test_who_was_superseded_adds_nothing(tmp_path: Path) -> None:
    store = open_store(str(tmp_path))
    fence = Fence.take(store, {})
    Fence.take(store, {})
    with pytest.raises(Superseded):
        add_finding(fence, finding(20, 1))
    assert read_findings(store) == []


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"{", "is not valid"),
        (b"[]", "is not valid"),
        (b'{"format": 1, "findings": [{"step": 1}]}', "is not valid"),
        (b'{"format": 2, "findings": []}', "has format 2; this trainer reads up to 1"),
    ],
)
def test_what_is_no_record_of_findings_is_refused(tmp_path: Path, data: bytes, said: str) -> None:
    store = open_store(str(tmp_path))
    store.put(layout.AUDIT, data)
    with pytest.raises(RunError, match=said):
        read_findings(store)
