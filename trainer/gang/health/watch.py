"""The check of this pod's health, in a thread, since a store may not answer."""

import logging
import threading
import time
from collections.abc import Callable

log = logging.getLogger("trainer.supervisor")

CHECKING = "it is being checked"
NO_ANSWER = "a disk, a GPU or the store does not answer"
NO_ANSWER_SECONDS = 2.0
AGAIN_SECONDS = 5.0
"""Seconds between two checks of a pod that is not healthy."""


class Health:
    """`check`: as of `health_check`; None for a pod that is always healthy."""

    def __init__(self, check: Callable[[float], str] | None) -> None:
        self._check = check
        self._problem = ""
        self._logged = ""
        self._asked = self._began = self._ended = 0.0
        self._thread: threading.Thread | None = None

    def begin(self) -> None:
        """This pod wants to join: it is checked again."""
        if self._check:
            self._asked, self._problem = time.monotonic(), CHECKING
            self._start()

    def problem(self) -> str:
        """Why this pod does not join now, "" if it may. Does not wait, and logs each problem once."""
        if self._check is None:
            return ""
        now = time.monotonic()
        running = self._thread is not None and self._thread.is_alive()
        problem = self._problem
        if running and now - self._began > NO_ANSWER_SECONDS:
            problem = NO_ANSWER
        elif not running and problem and now - self._ended > AGAIN_SECONDS:
            self._start()
        if problem not in (self._logged, CHECKING):
            if problem:
                log.warning("not ready to train: %s", problem)
            else:
                log.info("ready to train")
            self._logged = problem
        return problem

    def _start(self) -> None:
        if self._thread is None or not self._thread.is_alive():
            self._began = time.monotonic()
            self._thread = threading.Thread(target=self._run, name="health", daemon=True)
            self._thread.start()

    def _run(self) -> None:
        assert self._check
        try:
            problem = self._check(time.monotonic() - self._asked)
        except Exception as error:  # a check that fails says nothing about the pod
            log.warning("the check of this pod failed: %s: %s", type(error).__name__, error)
            problem = ""
        self._ended, self._problem = time.monotonic(), problem
