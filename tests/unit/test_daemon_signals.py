"""Signals reach the loop, and the second stop does not need it."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys

import pytest

from syncd.cli.start import hold_signals
from syncd.daemon import signals
from syncd.daemon.signals import Signals


class Orders:
    """What signals asked for, in order."""

    def __init__(self) -> None:
        self.heard: list[str] = []
        self.signals = Signals(
            request=lambda kind: self.heard.append(f"request {kind}"),
            reload=lambda: self.heard.append("reload"),
            stop=lambda why: self.heard.append(f"stop {why}"),
            leave=lambda code: self.heard.append(f"leave {code}"),
        )


@pytest.mark.parametrize(
    ("number", "expected"),
    [
        (signal.SIGUSR1, "request full"),
        (signal.SIGUSR2, "request delta"),
        (signal.SIGHUP, "reload"),
        (signal.SIGTERM, "stop SIGTERM"),
        (signal.SIGINT, "stop SIGINT"),
    ],
)
async def test_each_signal_is_one_order(number: int, expected: str) -> None:
    """A signal sent to the process becomes a call on the loop."""
    orders = Orders()
    with orders.signals.receiving(asyncio.get_running_loop()):
        os.kill(os.getpid(), number)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    assert orders.heard == [expected]


@pytest.mark.parametrize(
    ("first", "second", "code"),
    [(signal.SIGTERM, signal.SIGTERM, 143), (signal.SIGTERM, signal.SIGINT, 130), (signal.SIGINT, signal.SIGINT, 130)],
)
async def test_the_second_stop_leaves_without_waiting_for_the_loop(first: int, second: int, code: int) -> None:
    """Two stops while the loop is stuck: the second one leaves at once, with 128 and its number."""
    orders = Orders()
    with orders.signals.receiving(asyncio.get_running_loop()):
        os.kill(os.getpid(), first)
        os.kill(os.getpid(), second)
        assert orders.heard == [f"leave {code}"]
        await asyncio.sleep(0)


async def test_signals_mean_what_they_meant_before_afterwards() -> None:
    """The process's own handlers are put back."""
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1)}
    with Orders().signals.receiving(asyncio.get_running_loop()):
        assert signal.getsignal(signal.SIGTERM) != before[signal.SIGTERM]
    assert {number: signal.getsignal(number) for number in before} == before


@pytest.mark.parametrize("error", [RuntimeError("reentrant call"), BrokenPipeError(), ValueError("closed file")])
def test_nothing_keeps_a_process_that_is_to_leave_at_once(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    """The second signal may come in the middle of a log line, whose stream refuses to be flushed then."""
    left: list[int] = []

    class Stream:
        def flush(self) -> None:
            raise error

    monkeypatch.setattr("syncd.daemon.signals.sys.stdout", Stream())
    monkeypatch.setattr("syncd.daemon.signals.os._exit", left.append)
    signals.leave_at_once(143)
    assert left == [143]


EARLY = """
import os, signal, sys
from syncd.cli.start import hold_signals
hold_signals(["--config", "x", "run"])
for number in (signal.SIGUSR1, signal.SIGHUP, signal.SIGTERM):
    os.kill(os.getpid(), number)
import asyncio
from syncd.daemon.signals import Signals
heard = []
loop = asyncio.new_event_loop()
made = Signals(request=heard.append, reload=lambda: heard.append("reload"), stop=heard.append)
with made.receiving(loop):
    loop.call_later(0.05, loop.stop)
    loop.run_forever()
print(sorted(heard))
"""


def test_signals_of_the_first_moments_wait_until_they_can_be_obeyed() -> None:
    """As the first process of a container a program that is still being imported would never hear of them again."""
    done = subprocess.run([sys.executable, "-c", EARLY], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout.strip()) == (0, "['SIGTERM', 'full', 'reload']"), done.stderr


def test_other_commands_keep_what_signals_mean() -> None:
    """A command that is not the daemon is ended by the first one, as people expect."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    hold_signals(["sync", "full"])
    assert signal.pthread_sigmask(signal.SIG_BLOCK, ()) == before
