"""A process that saves is killed at random moments: no restore is torn or older than was acknowledged."""

import logging
import multiprocessing
import os
import random
import time
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerProcess

import pytest

from tests.checkpoints import saver
from trainer.checkpoints.commit import survey
from trainer.checkpoints.restore import restore
from trainer.checkpoints.verify import verify
from trainer.checkpoints.writer import CheckpointWriter
from trainer.runs.fence import Fence
from trainer.storage import open_store


@dataclass
class Saver:
    """One process and what it said."""

    process: ForkServerProcess
    pipe: Connection
    floor: int
    said: list[tuple[str, int]] = field(default_factory=list)

    @classmethod
    def start(cls, url: str, seed: int, floor: int) -> "Saver":
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(["boto3", "tests.checkpoints.saver"])
        env = {name: value for name, value in os.environ.items() if name.startswith("AWS_")}
        receiving, sending = context.Pipe(duplex=False)
        process = context.Process(target=saver.work, args=(url, env, seed, sending), daemon=True)
        process.start()
        sending.close()
        return cls(process, receiving, floor)

    def listen(self, seconds: float = 0.0) -> list[tuple[str, int]]:
        """All it said within this time."""
        until = time.monotonic() + seconds
        try:
            while self.pipe.poll(max(0.0, until - time.monotonic())):
                self.said.append(self.pipe.recv())
        except (EOFError, OSError):
            pass
        return self.said

    def kill(self) -> None:
        self.process.kill()
        self.process.join()
        self.listen()
        self.pipe.close()


def kill_at_random(url: str, kills: int, seed: int) -> None:
    draw = random.Random(seed)
    store = open_store(url)
    acknowledged = restored = superseded = 0
    alive: list[Saver] = []
    try:
        for number in range(kills):
            known = [step for s in alive for word, step in s.listen() if word == "acknowledged"]
            alive.append(Saver.start(url, seed * 10_000 + number, max([acknowledged, *known])))
            until = time.monotonic() + draw.choice([0.1, 0.5]) * draw.random()
            if draw.random() < 0.7 or number == 0:
                while not alive[-1].listen(0.05):
                    assert alive[-1].process.is_alive()
                until = time.monotonic() + draw.random()
            while (left := until - time.monotonic()) > 0:
                alive[-1].listen(left)
            if len(alive) < 2 and draw.random() < 0.3:
                continue
            while alive:
                dead = alive.pop()
                dead.kill()
                for word, step in dead.said:
                    assert word != "torn"
                    assert word != "restored" or step >= dead.floor, "went on from less than was acknowledged"
                    restored += word == "restored"
                    superseded += word == "superseded"
                    acknowledged = max(acknowledged, step if word == "acknowledged" else 0)
            found = restore(store)
            assert (found.step if found else 0) >= acknowledged
            assert found is None or saver.is_whole(found)
    finally:
        for process in alive:
            process.kill()
    assert acknowledged > kills / 2
    assert restored > kills / 3
    print(f"{kills} kills: {restored} restores, {superseded} superseded, {acknowledged} steps acknowledged")
    with CheckpointWriter(store, Fence.take(store, {}), keep_last=2, orphan_age=0) as checkpoints:
        checkpoints.save(saver.state(acknowledged + 1000), wait=True)
        checkpoints.tidy()
    assert len(survey(store)) == 2, "retention leaves litter"
    assert [found.problems for found in verify(store)] == [(), ()]


def test_fifteen_kills(s3: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.ERROR)
    kill_at_random(f"{s3}/run", kills=15, seed=1)


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_five_hundred_kills(s3: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.ERROR)
    kill_at_random(f"{s3}/run", kills=500, seed=int(os.environ.get("SEED", "2")))
