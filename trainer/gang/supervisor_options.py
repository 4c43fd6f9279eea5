"""How a pod's ranks are run."""

from collections.abc import Callable
from dataclasses import dataclass

from trainer.distribution.agreement import Agreement
from trainer.gang.forming.policy import WAIT_FOR_ALL, Policy
from trainer.gang.pods import Pods
from trainer.storage import Store


@dataclass(frozen=True)
class SupervisorOptions:
    """How a pod's ranks are run.

    Attributes:
        ranks: rank processes in this pod.
        gpus_per_rank: GPUs that each of them sees, if there are any.
        grace: seconds that ranks have from SIGTERM to their exit.
        gloo_timeout: seconds after which a rank notices the loss of one that it is not connected to.
        max_failures: consecutive failures without a new step after which the pod gives up.
        stall_timeout: seconds without progress after which ranks are killed; None for never.
        pods: None on one machine.
        metrics_port: the port of /metrics, /healthz and /readyz; 0 for any free port, None for none.
        linger: seconds that a finished pod waits for its metrics to be scraped once more.
        finished: reads whether the run is finished; called in a thread while this pod waits for others.
        agreement: what must be equal in all pods of the gang; None if it is not compared.
        policy: when the gang trains without some of its pods.
        health: checks whether this pod can train before it joins, as of `health_check`; None for no check.
        store: the run's folder, by whose tokens any pod can coordinate; None if pod 0 always does.
    """

    ranks: int = 1
    gpus_per_rank: int = 1
    grace: float = 60.0
    gloo_timeout: int = 5
    max_failures: int = 6
    stall_timeout: float | None = None
    pods: Pods | None = None
    metrics_port: int | None = None
    linger: float = 0.0
    finished: Callable[[], bool] | None = None
    agreement: Agreement | None = None
    policy: Policy = WAIT_FOR_ALL
    health: Callable[[float], str] | None = None
    store: Store | None = None
