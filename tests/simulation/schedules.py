"""What happens to a simulated gang, all from one seed."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from random import Random
from unittest import mock

from tests.simulation.gang import FrozenTime, Simulation
from tests.simulation.quick import quick
from tests.simulation.world import Faults, Violation, World
from trainer.checkpoints import commit
from trainer.gang.forming.policy import Policy

TROUBLED_SECONDS = 40.0
QUIET_SECONDS = 400.0
"""By then all pods that are not lost have finished the run."""


@contextmanager
def simulated() -> Iterator[None]:
    """The trainer's code with a time that stands still, without its log, and quick."""
    disabled = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with mock.patch.object(commit, "datetime", FrozenTime), quick():
            yield
    finally:
        logging.disable(disabled)


def play(seed: int, pods: int = 3) -> Simulation:
    """Plays a schedule to its end. Raises Violation if a promise does not hold."""
    random = Random(f"{seed} {pods}")
    faults = Faults(
        until=TROUBLED_SECONDS,
        lost=random.choice([0.0, 0.0, 0.1, 0.3]),
        repeated=random.choice([0.0, 0.1]),
        store=random.choice([0.0, 0.0, 0.05, 0.2]),
        slow=random.choice([0.1, 0.5, 2.0]),
    )
    world = World(seed, faults)
    policy = Policy(
        min_ranks=random.choice([None, None, None, 1]), wait=random.choice([0.0, 3.0, 8.0]), tokens=True
    )
    simulation = Simulation(world, pods, policy, survives=random.random() < 0.5)
    for _ in range(random.choice([0, 1, 2, 3, 5])):
        at = random.random() * TROUBLED_SECONDS
        world.at(at, _event(simulation, random))
    world.at(TROUBLED_SECONDS, simulation.groups.clear)
    try:
        world.run(TROUBLED_SECONDS + QUIET_SECONDS, simulation.over)
        simulation.check_the_end()
    except Violation as violation:
        raise Violation(f"seed {seed} with {pods} pods, at {world.now:.2f} s: {violation}") from violation
    return simulation


def _event(simulation: Simulation, random: Random) -> Callable[[], None]:
    world = simulation.world
    pod = simulation.pods[random.choice([0, random.randrange(len(simulation.pods))])]
    seconds = random.choice([0.5, 3.0, 8.0, 15.0, 25.0])
    kind = random.choice(["crash", "crash", "lose", "rank", "pause", "part", "sick"])
    sides = {index: random.randrange(2) for index in range(len(simulation.pods))}

    def restart() -> None:
        if not pod.alive and pod.index not in simulation.lost and pod.exit_code is None:
            pod.start()

    def event() -> None:
        if simulation.finished and kind == "lose":
            return
        if kind in ("crash", "lose") and pod.alive:
            most = (len(simulation.pods) - 1) // 2
            if kind == "lose" and len(simulation.lost) < most:
                simulation.lost.add(pod.index)
            pod.crash()
            world.after(seconds, restart)
        elif kind == "rank":
            pod.rank_dies()
        elif kind == "pause":
            pod.paused_until = max(pod.paused_until, world.now + seconds)
        elif kind == "sick":
            pod.say_problem("no GPU")
            world.after(seconds, lambda: pod.say_problem(""))
        elif kind == "part":
            simulation.groups.update(sides)
            world.after(seconds, simulation.groups.clear)

    return event
