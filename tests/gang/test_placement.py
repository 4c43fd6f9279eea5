"""Ranks are dense by (pod, local number), and Horovod's other numbers agree with that."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainer.gang.members import Generation, Seat
from trainer.gang.placement import slots

pytestmark = pytest.mark.fast


@given(st.lists(st.integers(1, 5), min_size=1, max_size=6))
def test_places(ranks: list[int]) -> None:
    generation = Generation(
        "1-x", 1, tuple(Seat(pod, f"uid-{pod}", count) for pod, count in enumerate(ranks))
    )
    everybody = [slot for pod in range(len(ranks)) for slot in slots(generation, pod)]
    assert [slot.rank for slot in everybody] == list(range(sum(ranks)))
    assert {slot.size for slot in everybody} == {sum(ranks)}
    for slot in everybody:
        across = [other for other in everybody if other.local_rank == slot.local_rank]
        assert [other.cross_rank for other in across] == list(range(slot.cross_size))
        assert slot.local_size == ranks[slot.pod]
