"""A rank that keeps the trainer's contract without TensorFlow, for tests of what starts and stops ranks.

`python -m tests.gang.rank FOLDER STEPS [--pause SECONDS] [--exit RANK:STEP:CODE] [--hang RANK:STEP]
[--slow RANK:SECONDS]`

Its "weights" are a chain of digests, one link a step, the same on every rank. Ranks vote in each step's
exchange, over the rendezvous' key-value store; one that does not answer is lost. The chief saves every 5
steps, where a stop was agreed on or a rank was lost, and at the end. FOLDER/events tells what happened.
"""

import argparse
import hashlib
import http.client
import json
import os
import signal
import sys
import time
from pathlib import Path

from trainer.distribution.meeting import meet
from trainer.distribution.rank_status import Phase, report_phase, report_step
from trainer.errors import EXIT_INTERRUPTED, RankLost, TransientError
from trainer.observability.stacks import print_stacks_on_signal

LOST_AFTER = 1.5


def link(state: str, step: int) -> str:
    return hashlib.sha256(f"{state} {step}".encode()).hexdigest()


def undisturbed(steps: int) -> str:
    """What a run ends with that nothing happened to."""
    state = ""
    for step in range(steps):
        state = link(state, step)
    return state


class Rank:
    def __init__(self, folder: Path, words: argparse.Namespace) -> None:
        self.folder, self.steps, self.pause = folder, words.steps, words.pause
        self.lost_after: float = words.lost_after
        self.exits = [int(part) for part in words.exit.split(":")] if words.exit else [-1, -1, 0]
        self.hangs = [int(part) for part in words.hang.split(":")] if words.hang else [-1, -1]
        slow = words.slow.split(":") if words.slow else ["-1", "0"]
        self.slow_rank, self.slow_seconds = int(slow[0]), float(slow[1])
        self.rank, self.size = int(os.environ["HOROVOD_RANK"]), int(os.environ["HOROVOD_SIZE"])
        self.generation = int(os.environ["TRAINER_GENERATION"])
        self.store = (
            os.environ["HOROVOD_GLOO_RENDEZVOUS_ADDR"],
            int(os.environ["HOROVOD_GLOO_RENDEZVOUS_PORT"]),
        )
        self.stop = False
        signal.signal(signal.SIGTERM, self.asked)

    def asked(self, *_: object) -> None:
        self.stop = True

    def run(self) -> int:
        self.tell("start")
        if (self.folder / "result").exists():
            return 0
        try:
            meet(stopping=lambda: self.stop)
            self.ask("PUT", f"/pid/{self.rank}", str(os.getpid()).encode())
            return self.train()
        except TransientError as error:
            print(f"rank {self.rank}: {error}", flush=True)
            return error.exit_code

    def train(self) -> int:
        saved = self.folder / "checkpoint"
        first, state = json.loads(saved.read_text()) if saved.exists() else (0, "")
        for step in range(first, self.steps):
            if self.exits[:2] == [self.rank, step]:
                print(f"rank {self.rank} has had enough", flush=True)
                return self.exits[2]
            report_phase(Phase.READING)
            if self.hangs == [self.rank, step] and self.generation == 1:
                self.stuck()
            report_phase(Phase.TRAINING)
            if self.slow_rank == self.rank:
                time.sleep(self.slow_seconds)
            exchange_began = time.time()
            try:
                stop = self.exchange(f"step-{step}")
            except RankLost:
                report_phase(Phase.SAVING)
                self.save(saved, json.dumps([step, state]))
                raise
            state = link(state, step)
            report_step(step, exchange_began)
            self.tell("step", step)
            if stop or step % 5 == 4:
                self.save(saved, json.dumps([step + 1, state]))
            if stop:
                self.tell("stopped", step)
                return EXIT_INTERRUPTED
            time.sleep(self.pause)
        self.save(self.folder / "result", state)
        self.exchange("end")
        self.tell("finished")
        return 0

    def stuck(self) -> None:
        self.tell("hangs")
        while True:
            time.sleep(1000)

    def save(self, path: Path, text: str) -> None:
        if self.rank == 0:
            draft = path.with_suffix(f".{os.getpid()}")
            draft.write_text(text)
            draft.rename(path)

    def exchange(self, name: str) -> bool:
        """Whether any rank wants to stop."""
        self.ask("PUT", f"/{name}/{self.rank}", b"1" if self.stop else b"0")
        votes = [self.vote(f"/{name}/{rank}", rank) for rank in range(self.size)]
        return any(votes)

    def vote(self, path: str, rank: int) -> bool:
        """Raises RankLost when it is too long in coming and, as Gloo does, when its process has ended."""
        deadline = time.monotonic() + self.lost_after
        while time.monotonic() < deadline:
            status, body = self.ask("GET", path)
            if status == 200:
                return body == b"1"
            status, pid = self.ask("GET", f"/pid/{rank}")
            if status == 200 and not Path(f"/proc/{int(pid)}").exists():
                break
            time.sleep(0.002)
        raise RankLost(f"{path} did not come")

    def ask(self, method: str, path: str, body: bytes = b"") -> tuple[int, bytes]:
        connection = http.client.HTTPConnection(*self.store, timeout=LOST_AFTER)
        try:
            connection.request(method, path, body)
            response = connection.getresponse()
            return response.status, response.read()
        except (OSError, http.client.HTTPException) as error:
            raise RankLost(f"the exchange failed ({error})") from None
        finally:
            connection.close()

    def tell(self, what: str, step: int = -1) -> None:
        event = {
            "what": what,
            "step": step,
            "rank": self.rank,
            "size": self.size,
            "generation": self.generation,
            "pid": os.getpid(),
        }
        with (self.folder / "events").open("a") as file:
            file.write(json.dumps(event) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("steps", type=int)
    parser.add_argument("--pause", type=float, default=0.02)
    parser.add_argument("--exit", default="")
    parser.add_argument("--hang", default="", help="is stuck before this step, in the first generation")
    parser.add_argument("--slow", default="", help="a rank that takes longer for its part of each step")
    parser.add_argument("--lost-after", type=float, default=LOST_AFTER)
    words = parser.parse_args()
    print_stacks_on_signal()
    code = Rank(words.folder, words).run()
    sys.stdout.flush()
    os._exit(code)


if __name__ == "__main__":
    main()
