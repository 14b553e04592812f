"""The manual does what it says: its blocks are typed in order, and print what the pages show."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.e2e.console import ROOT, Block, Ports, Terminal, Typed, explain_difference, read_blocks

TUTORIAL = ROOT / "docs/tutorial/sandbox.md"
TUTORIAL_PORTS = 18440, 5
HOW_TOS = [
    page
    for page in sorted((ROOT / "docs/how-to").glob("*.md"))
    if any(block.mark == "company" for block in read_blocks(page))
]
COMPANY = Typed("syncd sandbox --users 40 --groups 6 --portal-delay 0 --port 18540", ("…", "Ready. Stop with Ctrl-C."))
"""The small company of the how-tos; their pages do not show it."""
RULES = """
[mapping]
group.bps_id = 'group.displayName.replace(" ", ".") + "@grp.example"'
"""
"""Ids of groups that fit on a page."""


@pytest.fixture(autouse=True)
def _tools() -> None:
    if missing := [tool for tool in ("bash", "curl", "jq") if shutil.which(tool) is None]:
        pytest.skip(f"the blocks of the manual were not played: there is no {' and no '.join(missing)}")


@pytest.mark.slow
async def test_the_tutorial_can_be_typed_from_top_to_bottom(tmp_path: Path) -> None:
    """A newcomer sees on the screen what stands on the page."""
    ports = Ports.find(*TUTORIAL_PORTS)
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


@pytest.mark.slow
@pytest.mark.parametrize("page", HOW_TOS, ids=lambda page: page.stem)
async def test_the_examples_of_a_how_to_are_true(page: Path, tmp_path: Path) -> None:
    """What a page shows is what the program prints when that happens in the small company."""
    ports = Ports.find(18540, 4)
    async with Terminal(tmp_path, ports) as first, Terminal(tmp_path, ports) as second:
        await first.start(COMPANY)
        config = (tmp_path / "sandbox/syncd.toml").read_text(encoding="utf-8")
        (tmp_path / "syncd.toml").write_text(config + RULES, encoding="utf-8")
        await second.play(Typed("syncd sync full", ()))
        for block in read_blocks(page):
            if block.mark == "company" and block.language == "toml":
                with (tmp_path / "syncd.toml").open("a", encoding="utf-8") as file:
                    file.write(f"\n{block.text}")
            elif block.mark == "company":
                await _play(block, second)


async def _play(block: Block, terminal: Terminal) -> None:
    for kind, text in block.before:
        operation = f"curl -sf http://127.0.0.1:18543/change -d '{text}'"
        await (terminal.play(Typed(operation, ())) if kind == "before" else terminal.do(text))
    for typed in block.typed:
        await terminal.play(typed)


def test_a_difference_is_seen() -> None:
    """What is shown must be printed, all of it and nothing else, but for times, durations and what is left out."""
    shown = ["Run 7: 2026-11-30 08:02:46 · 9.1 s", "…", "change   done", "───", "user …   2"]
    printed = ["Run 7: 2027-01-01 10:00 · 0.3 s", "x", "y", "change  done", "──", "user ann 2"]
    assert explain_difference(shown, printed) == ""
    assert explain_difference(["a", "b"], ["a"]) != ""
    assert explain_difference(["a"], ["a", "b"]) != ""
    assert explain_difference(["unlink 1,031"], ["unlink 1,032"]) != ""


def test_the_manual_is_played() -> None:
    """Of the tutorial only the installation is left out, and of the how-tos those of every day are played."""
    blocks = read_blocks(TUTORIAL)
    assert [block.typed[0].command for block in blocks if block.mark == "not"] == ["make venv"]
    assert sum(len(block.typed) for block in blocks) >= 25
    assert {page.stem for page in HOW_TOS} >= {
        "who-is-missing",
        "held-run",
        "undo",
        "drift",
        "leavers",
        "renames",
        "privileges",
    }
