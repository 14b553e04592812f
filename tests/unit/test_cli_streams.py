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


NAMES = ("Łucja Żak", "Özgür", "山田", "\U0001f600", "half \ud800 a pair")
TABLE = f"""
import sys
from syncd.cli.screen.output import print_json, print_line, print_table
from syncd.cli.screen.streams import leave

def program():
    names = {NAMES!r}
    print_table((("name", 1), ("mail", 1)), [(name, "x@y") for name in names])
    for name in names:
        print_line(name)
    print_json(dict.fromkeys(("one", "two"), names[0]))
    print(names[0], file=sys.stderr)

leave(program)
"""


@pytest.mark.parametrize(
    "encoding", ["ascii", "iso-8859-1", "cp1250", "utf-8", "ascii:strict", "utf-8:surrogateescape"]
)
def test_a_terminal_that_cannot_spell_a_name_gets_replaced_characters(encoding: str) -> None:
    """Neither a table nor a document ends in a traceback, whatever the locale of the shell is."""
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "LC_ALL": "C", "PYTHONIOENCODING": encoding}
    ended = subprocess.run([sys.executable, "-c", TABLE], capture_output=True, check=False, cwd=ROOT, env=environment)
    told = ended.stderr.decode("ascii", "replace")
    assert (ended.returncode, "Traceback" in told) == (0, False), told
    shown = ended.stdout.decode(encoding.partition(":")[0])
    assert shown.count("x@y") == len(NAMES)
    assert ("Łucja" in shown) == (encoding.startswith(("utf-8", "cp1250")))
    assert "?ucja" in shown or "Łucja" in shown
