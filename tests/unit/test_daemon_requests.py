"""The queue: a level, not a counter."""

from __future__ import annotations

from syncd.daemon.requests import RequestQueue
from syncd.model.run import RunRequest

FULL = RunRequest(pull="full", trigger="signal", retry_failed=True)
DELTA = RunRequest(pull="delta", trigger="schedule")


def make_queue() -> tuple[RequestQueue, list[str]]:
    """Return a queue and the list of its wake-up calls."""
    woken: list[str] = []
    return RequestQueue(lambda: woken.append("woken")), woken


def test_fifty_requests_are_one_run() -> None:
    """However often a run is asked for before it starts, it is one run."""
    queue, woken = make_queue()
    for _ in range(50):
        queue.put(DELTA)
    assert queue.take() == DELTA
    assert queue.take() is None
    assert len(woken) == 50


def test_full_beats_delta_in_either_order() -> None:
    """A full request waiting with a delta request is one full run that keeps what either asked for."""
    for requests in ((DELTA, FULL), (FULL, DELTA)):
        queue, _ = make_queue()
        for request in requests:
            queue.put(request)
        taken = queue.take()
        assert taken is not None
        assert (taken.pull, taken.trigger, taken.retry_failed) == ("full", "signal", True)


def test_a_request_during_a_run_is_kept_for_the_next_one() -> None:
    """What is asked for after the taking is not lost with what was taken."""
    queue, _ = make_queue()
    queue.put(DELTA)
    queue.take()
    queue.put(FULL)
    assert queue.take() == FULL


def test_what_is_owed_rides_with_the_next_request() -> None:
    """An owed full run wakes nobody, and turns the next delta into a full one, once."""
    queue, woken = make_queue()
    queue.owe(FULL)
    assert queue.take() is None
    assert woken == []
    queue.put(DELTA)
    taken = queue.take()
    assert taken is not None
    assert taken.pull == "full"
    queue.put(DELTA)
    assert queue.take() == DELTA
