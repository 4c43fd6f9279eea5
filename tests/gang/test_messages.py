"""The JSON between supervisors and the coordinator, which keeps its keys: pods of two versions may meet."""

import json

import pytest

from trainer.distribution.agreement import Agreement
from trainer.distribution.rank_status import Phase
from trainer.gang.members import (
    Answer,
    ExitPod,
    Member,
    MemberState,
    RefusePod,
    StopMode,
    StopRanks,
)
from trainer.gang.messages import decode_answer, decode_member, encode_answer, encode_member
from trainer.gang.ranks.stall import RankProgress

pytestmark = pytest.mark.fast


@pytest.mark.parametrize(
    ("answer", "document"),
    [
        (
            StopRanks(StopMode.IMMEDIATE, "lost", (1,)),
            {"kind": "StopRanks", "how": "hard", "reason": "lost", "late": [1]},
        ),
        (
            StopRanks(StopMode.GRACEFUL, "leaving"),
            {"kind": "StopRanks", "how": "soft", "reason": "leaving", "late": []},
        ),
        (ExitPod(64), {"kind": "ExitPod", "exit_code": 64}),
        (
            RefusePod(Agreement({"train": {}}, "pod 0")),
            {"kind": "RefusePod", "agreement": {"document": {"train": {}}, "where": "pod 0"}},
        ),
    ],
)
def test_an_answer(answer: Answer, document: dict[str, object]) -> None:
    data = encode_answer(answer, 7)
    assert json.loads(data) == {**document, "port": 7}
    assert decode_answer(data) == (answer, 7)


def test_a_report() -> None:
    progress = RankProgress(0, 7, Phase.TRAINING, idle=1.0, longest=2.0, frozen=True, asked=True)
    member = Member(1, "uid", MemberState.BACKING_OFF, 2, "1-a", 1, 75, (progress,), agreement="d")
    document = json.loads(encode_member(member))
    assert document["state"] == "resting"
    assert document["progress"][0]["asked"] is True
    assert decode_member(encode_member(member)) == member
    assert decode_member(encode_member(member)).progress == (progress,)
