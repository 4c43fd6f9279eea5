"""Connects a supervisor to the gang's coordinator."""

from dataclasses import dataclass

from trainer.distribution.agreement import Agreement
from trainer.gang.coordinator import Coordinator, serve
from trainer.gang.forming.policy import WAIT_FOR_ALL, Policy
from trainer.gang.leading.elected import Elected
from trainer.gang.leading.keeper import TokenKeeper
from trainer.gang.line import Direct, Line, Remote
from trainer.gang.pods import Pods
from trainer.gang.polled import Polled
from trainer.gang.ranks.stall import Limits
from trainer.storage import Store

_WANTED_PODS_SECONDS = 5.0


@dataclass(frozen=True)
class GangOptions:
    """What a coordinator decides by.

    Attributes:
        limits: how long the ranks may make no progress.
        agreement: what must be equal in all pods; None if it is not compared.
        policy: when the gang trains without some of its pods.
        store: the run's folder, whose tokens say which pod coordinates; None if pod 0 always does.
    """

    limits: Limits
    agreement: Agreement | None = None
    policy: Policy = WAIT_FOR_ALL
    store: Store | None = None


def connect(pods: Pods | None, options: GangOptions, *, gang: str, uid: str) -> Line:
    """Connects to the coordinator, which runs in this process if this is pod 0 or the only one.

    Args:
        pods: None on one machine.
        options: what this pod decides by if it coordinates.
        gang: who runs the run, over restarts.
        uid: this supervisor's.

    Raises ConfigError if the coordinator's port is taken.
    """
    if not pods:
        return Direct(Coordinator(lambda: 1, limits=options.limits))
    count = pods.count
    wanted = Polled(
        pods.wanted_pods or (lambda: count),
        count,
        every=_WANTED_PODS_SECONDS,
        description="the number of wanted pods",
    )

    def coordinator(keeper: TokenKeeper | None = None) -> Coordinator:
        return Coordinator(
            wanted,
            host="",
            key=pods.key,
            limits=options.limits,
            agreement=options.agreement,
            policy=options.policy,
            keeper=keeper,
        )

    if options.store and pods.key.is_shared:
        return Elected(pods, options.store, gang, uid, coordinator)
    if pods.index:
        return Remote(pods.coordinator, pods.port, pods.key)
    own = coordinator()
    try:
        return Direct(own, serve(own, "", pods.port, pods.key))
    except BaseException:
        own.close()
        raise
