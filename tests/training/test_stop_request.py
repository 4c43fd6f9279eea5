"""A request to stop is answered at once, also while the main thread is inside a step."""

import hashlib
import logging
import os
import signal
import threading

import pytest

from trainer.errors import TransientError
from trainer.training.stop_request import AGAIN, stop_request


def test_it_is_noticed_inside_native_code(caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.INFO, "trainer")
    busy = True
    noticed_while_busy: list[bool] = []
    with stop_request() as stop:

        def interrupt() -> None:
            os.kill(os.getpid(), signal.SIGINT)
            stop.wait(60)
            noticed_while_busy.append(busy)

        thread = threading.Thread(target=interrupt)
        thread.start()
        hashlib.pbkdf2_hmac("sha256", b"", b"", 10**7)  # some seconds
        busy = False
        thread.join()
    assert noticed_while_busy == [True]
    assert [record.getMessage() for record in caplog.records] == [AGAIN]


def test_sigterm_stops_and_does_not_interrupt(caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.INFO, "trainer")

    def stopped() -> None:
        with stop_request() as stop:
            os.kill(os.getpid(), signal.SIGTERM)
            assert stop.wait(60)
            raise TransientError("stopped")

    with pytest.raises(TransientError):
        stopped()
    assert caplog.records[-1].getMessage() == "SIGTERM: stopping after this step"


def test_a_second_interruption_and_the_end_of_the_block_leave_the_usual_handler():
    usual = signal.signal(signal.SIGINT, signal.default_int_handler)

    def interrupted_twice() -> None:
        with stop_request() as stop:
            os.kill(os.getpid(), signal.SIGINT)
            assert stop.wait(60)
            os.kill(os.getpid(), signal.SIGINT)
            threading.Event().wait(60)

    try:
        with pytest.raises(KeyboardInterrupt):
            interrupted_twice()
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, usual)


def test_another_thread_leaves_signals_to_their_owner():
    before = signal.getsignal(signal.SIGINT)
    seen: list[object] = []

    def run() -> None:
        with stop_request():
            seen.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert seen == [before]
