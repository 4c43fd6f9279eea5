"""A folder without a checkpoint may become another run's; one with a checkpoint stays what it is."""

import json
import logging
from collections.abc import Sequence
from dataclasses import replace

import pytest

from tests.checkpoints.interleaving import Actor, Choice, Decide, Fate, World, explore, play
from trainer.checkpoints.commit import write
from trainer.config import parse
from trainer.errors import RunError
from trainer.runs import layout
from trainer.runs.claim import check_identity, claim_again, claim_folder, give_back
from trainer.runs.fence import Fence, Superseded, publish
from trainer.runs.find_runs import find_runs
from trainer.runs.layout import Attempt
from trainer.runs.run_document import Reached, RunDocument, RunResult, read_run
from trainer.storage import Store, open_store


def run(learning_rate: float, epochs: int = 3) -> RunDocument:
    optimizer = {"name": "sgd", "learning_rate": learning_rate}
    values = {
        "data": {"url": "s3://bucket/cars"},
        "model": {"name": "lab-cnn"},
        "train": {"epochs": epochs, "optimizer": optimizer},
        "run": {"url": "s3://bucket/run"},
    }
    pixels = {"mean": [0.0] * 3, "std": [1.0] * 3}
    return RunDocument({"seed": 1, "optimizer": optimizer}, parse(values), ["a", "b"], (8, 8, 3), pixels)


FAST, SLOW = run(1e38), run(0.1)


def commit(store: Store, fence: Fence, step: int = 5) -> None:
    """What makes a checkpoint one, without its arrays."""
    store.put(Attempt(step, fence.number, "uid").key(layout.COMMIT), b"{}")


def in_order(alive: Sequence[int]) -> Choice:
    return alive[0], Fate.DONE


@pytest.fixture
def store(store_url: str) -> Store:
    return open_store(store_url)


def test_a_folder_without_a_checkpoint_starts_anew(store: Store, caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.INFO)
    fence, _ = claim_folder(store, FAST, {})
    publish(store, fence, layout.METRICS, b"epoch\n")
    publish(store, fence, layout.TIMING, b"epoch\n")
    publish(store, fence, layout.events("train"), b"of another network")
    publish(store, fence, layout.weights("best"), b"of another network")
    check_identity(store, SLOW.identity)
    claim_folder(store, SLOW, {})
    assert read_run(store).identity == SLOW.identity
    assert [m for m in caplog.messages if "starting over" in m] == [
        f"{store.url}: starting over: no checkpoint yet, and "
        "optimizer.learning_rate changed from 1e+38 to 0.1"
    ]
    left = {info.key for info in store.list()} - {layout.token(1), layout.token(2)}
    assert left == {layout.RUN, layout.CLASSES}
    with pytest.raises(Superseded):
        fence.check()


def test_a_gang_that_holds_the_state_takes_a_token_and_changes_nothing_else(store: Store):
    first, _ = claim_folder(store, SLOW, {})
    publish(store, first, layout.METRICS, b"epoch\n")
    publish(store, first, layout.weights("best"), b"of this network")
    before = {info.key: info.etag for info in store.list()}
    second = claim_again(store, SLOW, {})
    assert second.number > first.number
    assert before.items() < {info.key: info.etag for info in store.list()}.items()
    with pytest.raises(Superseded):
        first.check()


@pytest.mark.parametrize("other", [None, FAST])
def test_a_gang_that_holds_the_state_claims_a_folder_that_is_not_its_run_s(
    store: Store, other: RunDocument | None
):
    claim_folder(store, SLOW, {"pid": 1})
    give_back(store, {"pid": 1})
    if other:
        claim_folder(store, other, {})
    fence = claim_again(store, SLOW, {})
    assert read_run(store).identity == SLOW.identity
    fence.check()
    commit(store, fence)
    with pytest.raises(RunError, match="already contains a different run"):
        claim_again(store, FAST, {})


def test_a_folder_with_a_checkpoint_is_another_runs(store: Store):
    fence, _ = claim_folder(store, FAST, {})
    commit(store, fence)
    for refused in (check_identity, lambda store, _: claim_folder(store, SLOW, {})):
        with pytest.raises(
            RunError, match=r"already contains a different run: optimizer.learning_rate is 1e\+38"
        ) as e:
            refused(store, SLOW.identity)
        assert "Use a different run.url" in e.value.remedy
    assert read_run(store).identity == FAST.identity
    fence.check()


def test_a_finished_run_without_its_checkpoints_stays_what_it_is(store: Store):
    fence, _ = claim_folder(store, FAST, {})
    publish(store, fence, layout.FINISHED, RunResult(3, 30, False, Reached(3, {})).dumps())
    with pytest.raises(RunError, match="already contains a different run"):
        claim_folder(store, SLOW, {})


def test_a_used_run_goes_on_with_more_epochs_and_says_so(store: Store):
    fence, first = claim_folder(store, SLOW, {})
    commit(store, fence)
    again, same = claim_folder(store, run(0.1, epochs=9), {})
    assert (again.number, same) == (2, first)
    assert read_run(store).config.train.epochs == 9
    assert [(r.state, r.of, r.step) for r in find_runs(store)] == [("unfinished", 9, 5)]


def test_a_folder_of_an_older_trainer_keeps_its_checkpoints(store: Store):
    fence, _ = claim_folder(store, SLOW, {})
    commit(store, fence)
    old = json.loads(store.get(layout.RUN))
    del old["generation"]
    store.put(layout.RUN, json.dumps(old).encode())
    assert claim_folder(store, SLOW, {})[1] == 0


def test_a_checkpoint_that_the_run_before_commits_late_is_not_of_this_run(store: Store):
    stale, _ = claim_folder(store, FAST, {})
    claim_folder(store, SLOW, {})
    commit(store, stale, step=99)
    assert [(r.state, r.step) for r in find_runs(store)] == [("begun", 0)]
    fence, first = claim_folder(store, run(0.2), {})
    assert first == fence.number == 3


def test_tokens_that_were_deleted_do_not_begin_again_below_the_checkpoints(store: Store):
    claim_folder(store, run(1.0), {})
    fence, first = claim_folder(store, run(0.1), {})
    commit(store, fence)
    for number in (1, 2):
        store.delete(layout.token(number))
    assert claim_folder(store, SLOW, {})[0].number > first


def test_a_start_that_was_refused_gives_a_new_folder_back(store: Store):
    me, other = {"host": "a", "pid": 1, "gang": "a"}, {"host": "b", "pid": 1, "gang": "b"}
    claim_folder(store, SLOW, me)
    give_back(store, other)
    assert {info.key for info in store.list()} == {layout.RUN, layout.CLASSES, layout.token(1)}
    give_back(store, me)
    assert not list(store.list())
    give_back(store, me)


@pytest.mark.parametrize("also", [layout.METRICS, layout.weights("best"), layout.token(2), "notes.txt"])
def test_a_folder_that_holds_more_is_not_given_back(store: Store, also: str):
    me = {"host": "a", "pid": 1, "gang": "a"}
    claim_folder(store, SLOW, me)
    store.put(also, b"{}")
    before = {info.key for info in store.list()}
    give_back(store, me)
    assert {info.key for info in store.list()} == before


def test_a_folder_that_lost_run_json_is_known_by_its_commits(store: Store, caplog: pytest.LogCaptureFixture):
    fence, _ = claim_folder(store, SLOW, {})
    write(fence, Attempt(5, fence.number, "uid"), memoryview(b"state"), b"{}")
    store.delete(layout.RUN)
    for refused in (check_identity, lambda store, _: claim_folder(store, FAST, {})):
        with pytest.raises(
            RunError, match=r"already contains a different run: optimizer.learning_rate is 0\.1"
        ):
            refused(store, FAST.identity)
    again, first = claim_folder(store, SLOW, {})
    assert (again.number, first) == (2, 0)
    assert read_run(store).identity == SLOW.identity
    assert "as its checkpoints are of this run" in caplog.text


def test_a_folder_of_checkpoints_of_which_nobody_knows_the_run_is_refused(store: Store):
    fence, _ = claim_folder(store, SLOW, {})
    commit(store, fence)
    store.delete(layout.RUN)
    before = {info.key for info in store.list()}
    for refused in (check_identity, lambda store, _: claim_folder(store, SLOW, {})):
        with pytest.raises(RunError, match=f"but no {layout.RUN} to identify the run"):
            refused(store, SLOW.identity)
    assert {info.key for info in store.list()} == before


@pytest.mark.parametrize(
    ("preemptions", "troubles"), [(2, 0), (0, 1), pytest.param(1, 1, marks=pytest.mark.long)]
)
def test_of_two_that_start_at_once_one_has_the_folder(preemptions: int, troubles: int):
    """In every order of their requests, also where one of them ends or its answers are lost."""
    identities = {"fast": FAST, "slow": SLOW}

    def story(decide: Decide) -> None:
        world = World()
        claimed: dict[str, tuple[int, int]] = {}

        def program(store: Actor) -> None:
            try:
                fence, first = claim_folder(store, identities[store.name], {"who": store.name})
                claimed[store.name] = fence.number, first
                fence.check()
                store.put(Attempt(fence.number, fence.number, store.name).key(layout.COMMIT), b"{}")
            except (Superseded, RunError, TimeoutError):
                pass

        play([Actor("old", world, lambda store: claim_folder(store, run(0.5), {}) and None)], in_order)
        play([Actor(name, world, program) for name in identities], decide)
        if not claimed:
            return
        winner = max(claimed, key=lambda name: claimed[name])
        number, _ = claimed[winner]
        document = json.loads(world.objects[layout.RUN][0])
        newest = max(filter(None, map(layout.token_number, world.objects)))
        if number == newest:
            assert document["identity"] == identities[winner].identity
        commits = [f[1] for key in world.objects if (f := layout.parse_checkpoint_key(key))]
        for attempt in commits:
            if attempt.generation >= document["generation"]:
                assert document["identity"] == identities[attempt.uid].identity

    assert explore(story, preemptions, troubles) > 50


@pytest.mark.parametrize("old", ["runs/old", "../runs/old", "./runs/old/", "/home/me/runs/old"])
def test_a_run_whose_weights_were_typed_as_a_relative_path_is_still_the_same_run(store: Store, old: str):
    def starting_with(weights: str) -> RunDocument:
        return replace(SLOW, identity={**SLOW.identity, "model": {"name": "lab-cnn", "weights": weights}})

    fence, _ = claim_folder(store, starting_with(old), {})
    commit(store, fence)
    check_identity(store, starting_with("/home/me/runs/old").identity)
    for other in ("/home/me/runs/new", "none", "imagenet", "s3://bucket/runs/old"):
        with pytest.raises(RunError, match=r"different run: model\.weights is"):
            check_identity(store, starting_with(other).identity)


def test_a_run_that_goes_on_brings_its_document_up_to_date(store: Store):
    """run.json of before it had what the dataset's images went through, or absolute URLs."""
    fence, _ = claim_folder(store, SLOW, {})
    commit(store, fence)
    newer = replace(SLOW, prepared={"shape": (16, 16, 3), "resize": "pad", "encoding": "jpeg"})
    claim_folder(store, newer, {})
    found = read_run(store)
    assert (found.prepared_shape, found.resize, found.encoding) == ((16, 16, 3), "pad", "jpeg")
    etag = store.stat(layout.RUN).etag
    claim_folder(store, newer, {})
    assert store.stat(layout.RUN).etag == etag
