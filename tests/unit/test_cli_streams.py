"""Streams whose reader went away, or that cannot be written: a process of its own each time."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PROGRAM = """
import sys
from syncd.cli.screen.output import Stream, print_json
from syncd.cli.screen.streams import leave

def entries():
    for number in range(100_000):
        print(number, file=sys.stderr, flush=True)
        yield {"number": number}

def program():
    print_json(Stream(entries()))
    sys.exit(int(sys.argv[1]))

leave(program)
"""


def run(code: str, out: int) -> subprocess.CompletedProcess[str]:
    """Run the program with stdout going there; it means to end with ``code``."""
    return subprocess.run(
        [sys.executable, "-c", PROGRAM, code],
        stdout=out,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )


@pytest.mark.parametrize("code", ["0", "4"])
def test_a_reader_who_went_away_changes_no_exit_code_and_ends_the_listing(code: str) -> None:
    """Nobody reads: the rest of the listing is not made."""
    reader, writer = os.pipe()
    os.close(reader)
    try:
        ended = run(code, writer)
    finally:
        os.close(writer)
    assert ended.returncode == int(code)
    assert "Traceback" not in ended.stderr
    assert len(ended.stderr.splitlines()) < 10_000


@pytest.mark.parametrize(("code", "expected"), [("0", 1), ("4", 4)])
def test_output_that_is_lost_is_told(code: str, expected: int) -> None:
    """A full disk: what should have been a success is none, any other code stays."""
    with open("/dev/full", "w") as full:  # noqa: PTH123 - a device
        ended = run(code, full.fileno())
    assert ended.returncode == expected
    assert "a part of the output could not be written: No space left on device" in ended.stderr
