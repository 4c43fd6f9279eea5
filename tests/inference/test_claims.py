"""Which part a worker does next."""

from pathlib import Path

import pytest

from trainer.inference import claims as module
from trainer.inference import keys
from trainer.inference.claims import Claim, Claims, choose
from trainer.storage import open_store


def test_lost_and_late_parts_are_done_by_others() -> None:
    young, old = Claim("other", 1.0), Claim("other", 9.0)
    assert choose(4, {0}, {}, "me", start=2, patience=5) == 2, "each begins somewhere else"
    assert choose(4, {2, 3}, {0: young}, "me", start=2, patience=5) == 1, "what nobody does"
    assert choose(4, {1, 2}, {0: Claim("me", 0.0), 3: old}, "me", start=2, patience=5) == 0, "its own, killed"
    assert choose(4, {1, 2, 3}, {0: young}, "me", start=2, patience=5) is None, "others are at work"
    assert choose(4, {1, 2, 3}, {0: old}, "me", start=2, patience=5) == 0, "too long"
    assert choose(2, {0, 1}, {}, "me", start=0, patience=5) is None


def test_workers_take_different_parts_and_a_restarted_one_its_own(
    store_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = open_store(store_url)

    def worker(name: str) -> Claims:
        return Claims(store, name, int(name), 2, parts=4)

    first, second = worker("0"), worker("1")
    assert [first.take(), second.take(), first.take(), second.take()] == [0, 2, 1, 3]
    assert first.take() is None
    again = worker("1")
    assert {again.take(), again.take()} == {2, 3}
    assert again.take() is None
    store.put(keys.predictions(0, "jsonl"), b"")
    monkeypatch.setattr(module, "CLAIM_SECONDS", 0.0)
    assert again.take() == 1, "the other is late"
    first.clear()
    assert not list(store.list(keys.CLAIMS))


def test_a_claim_that_is_damaged_is_somebody_elses(tmp_path: Path) -> None:
    store = open_store(str(tmp_path))
    store.put(keys.claim(0), b"\xff{")
    assert Claims(store, "0", 0, 1, parts=2).take() == 1


@pytest.mark.parametrize("parts", [4, 11, 40, 200])
def test_one_worker_of_four_that_is_ten_times_slower_costs_no_more_than_a_part(parts: int) -> None:
    """Simulated: a part takes 1 s, of worker 3 10 s, and idle workers look again each half second."""
    claims: dict[int, float] = {}
    done: set[int] = set()
    busy: dict[int, tuple[float, int]] = {}
    now = 0.0
    while len(done) < parts:
        for worker, (until, part) in list(busy.items()):
            if now >= until or part in done:
                if now >= until:
                    done.add(part)
                del busy[worker]
        for worker in range(4):
            if worker not in busy:
                known = {part: Claim(f"of {part}", now - since) for part, since in claims.items()}
                taken = choose(parts, done, known, f"worker {worker}", parts * worker // 4, patience=1.0)
                if taken is not None:
                    claims.setdefault(taken, now)
                    busy[worker] = (now + (10.0 if worker == 3 else 1.0), taken)
        now += 0.5
    others_need = -(-parts // 3)
    assert now - 0.5 <= others_need + 1.0
