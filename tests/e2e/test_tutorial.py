"""The tutorial does what it says: each of its blocks is typed in order, and prints what the page shows."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.e2e.console import ROOT, Ports, Terminal, explain_difference, read_blocks

TUTORIAL = ROOT / "docs/tutorial/sandbox.md"
FIRST_PORT, PORTS = 18440, 5


@pytest.mark.slow
@pytest.mark.once
async def test_the_tutorial_can_be_typed_from_top_to_bottom(tmp_path: Path) -> None:
    """A newcomer sees on the screen what stands on the page."""
    if shutil.which("curl") is None:
        pytest.skip("the tutorial was not played: there is no curl")
    ports = Ports.find(FIRST_PORT, PORTS)
    folder = tmp_path / "try-syncd"
    async with Terminal(tmp_path, ports) as first, Terminal(tmp_path, ports) as second:
        for block in read_blocks(TUTORIAL):
            match block.mark, block.language:
                case "not", _:
                    continue
                case "first terminal", "console":
                    for typed in block.typed[:-1]:
                        await first.play(typed)
                    await first.start(block.typed[-1])
                    await second.change_into(folder)
                case name, "toml":
                    (folder / name).write_text(ports.put(block.text), encoding="utf-8")
                case "", "console":
                    for typed in block.typed:
                        await second.play(typed)
                case other:
                    pytest.fail(f"nobody knows how to play {other}")


def test_a_difference_is_seen() -> None:
    """What is shown must be printed, all of it and nothing else, but for times, durations and what is left out."""
    shown = ["Run 7: 2026-11-30 08:02:46 · 9.1 s", "…", "change   done", "───", "user …   2"]
    assert (
        explain_difference(shown, ["Run 7: 2027-01-01 10:00 · 0.3 s", "x", "y", "change  done", "──", "user ann 2"])
        == ""
    )
    assert explain_difference(["a", "b"], ["a"]) != ""
    assert explain_difference(["a"], ["a", "b"]) != ""
    assert explain_difference(["unlink 1,031"], ["unlink 1,032"]) != ""


def test_the_tutorial_is_played_as_a_whole() -> None:
    """Only the installation is left out, so that no block can grow stale unseen."""
    blocks = read_blocks(TUTORIAL)
    assert [block.typed[0].command for block in blocks if block.mark == "not"] == ["make venv"]
    assert sum(len(block.typed) for block in blocks) >= 25
