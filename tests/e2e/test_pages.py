"""The manual does what it says: its blocks are typed in order, and print what the pages show."""

from __future__ import annotations

import itertools
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.console import ROOT, Block, Ports, Terminal, Typed, explain_difference, read_blocks
from tests.e2e.preloaded import serve_program

TUTORIAL = ROOT / "docs/tutorial/sandbox.md"
TUTORIAL_PORTS = 18440, 5
ALL = sorted((ROOT / "docs/how-to").glob("*.md"))
ALONE = [
    "drift",
    "guests",
    "held-run",
    "leavers",
    "policies",
    "one-object",
    "plan-file",
    "privileges",
    "renames",
    "undo",
    "who-is-missing",
]
"""Pages that begin with a company as it was synchronised once, since they show the numbers of runs and of changes."""
TOGETHER = [
    [
        *("set-up-entra", "set-up-portal", "entra-credentials", "credential-dates", "status", "watch", "choose-people"),
        *("starts-and-leaves", "who-was-where", "orphans", "pauses", "licences", "owners", "first-run"),
    ],
    ["settings-file", "logs", "back-up", "agents", "certificate", "move-from-portal-sync", "replay", "waves"],
]
"""Pages of which one company is enough for all, in this order: two companies begin sooner than twenty."""
ELSEWHERE = {
    "it takes docker": r"\bdocker\b",
    "it takes a cluster": r"\b(kubectl|helm)\b",
}
"""Why a block is not played, and what in it needs that."""
COMPANY = Typed("syncd sandbox --users 40 --groups 6 --portal-delay 0 --port 18540", ("…", "Ready. Stop with Ctrl-C."))
"""The small company of the how-tos; their pages do not show it."""
PEOPLE = "P=($(syncd users --state active --json | jq -r '.[].bps_id')); G=$(syncd groups --json | jq -r '.[0].name')"
"""Names for the shell: who and what stands in for the people and the group of another company."""
RULES = """
[mapping]
group.bps_id = 'group.displayName.replace(" ", ".") + "@grp.example"'
"""
"""Ids of groups that fit on a page."""


@pytest.fixture(autouse=True)
def _tools() -> None:
    if missing := [tool for tool in ("bash", "curl", "jq") if shutil.which(tool) is None]:
        pytest.skip(f"the blocks of the manual were not played: there is no {' and no '.join(missing)}")


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The script ``syncd``."""
    with serve_program(tmp_path_factory.mktemp("program"), path=ROOT) as script:
        yield script


@pytest.mark.slow
async def test_the_tutorial_can_be_typed_from_top_to_bottom(tmp_path: Path, program: Path) -> None:
    """A newcomer sees on the screen what stands on the page."""
    ports = Ports.find(*TUTORIAL_PORTS)
    folder = tmp_path / "try-syncd"
    async with Terminal(tmp_path, ports, program) as first, Terminal(tmp_path, ports, program) as second:
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
@pytest.mark.parametrize("names", [[name] for name in ALONE] + TOGETHER, ids=lambda names: names[0])
async def test_the_examples_of_how_tos_are_true(names: list[str], tmp_path: Path, program: Path) -> None:
    """What a page shows is what the program prints when that happens in the small company."""
    ports = Ports.find(18540, 4)
    async with Terminal(tmp_path, ports, program) as first, Terminal(tmp_path, ports, program) as second:
        await first.start(COMPANY)
        config = (tmp_path / "sandbox/syncd.toml").read_text(encoding="utf-8")
        (tmp_path / "syncd.toml").write_text(config + RULES, encoding="utf-8")
        await second.play(Typed("syncd sync full", ()))
        if len(names) > 1:
            await second.play(Typed(PEOPLE, ()))
        for name in names:
            await second.do('eval "$(env | sed -n "s/^\\(SYNCD_[A-Z_]*\\)=.*/unset \\1/p")"')
            for block in read_blocks(ROOT / f"docs/how-to/{name}.md"):
                await _play(block, second, tmp_path / "syncd.toml")


async def _play(block: Block, terminal: Terminal, config: Path) -> None:
    if not block.mark.startswith("company"):
        return
    if block.language == "toml":
        with config.open("a", encoding="utf-8") as file:
            file.write(f"\n{block.text}")
        return
    for kind, text in block.before:
        if kind == "before":
            await terminal.play(Typed(f"curl -sf http://127.0.0.1:18543/change -d '{text}'", ()))
        elif kind == "setup":
            await terminal.do(text)
    for typed in block.meant:
        await terminal.play(typed)


def test_a_difference_is_seen() -> None:
    """What is shown must be printed, all of it and nothing else, but for times, durations and what is left out."""
    shown = ["Run 7: 2026-11-30 08:02:46 · 9.1 s", "…", "change   done", "───", "user …   2"]
    printed = ["Run 7: 2027-01-01 10:00 · 0.3 s", "x", "y", "change  done", "──", "user ann 2"]
    assert explain_difference(shown, printed) == ""
    assert explain_difference(["a", "b"], ["a"]) != ""
    assert explain_difference(["a"], ["a", "b"]) != ""
    assert explain_difference(["unlink 1,031"], ["unlink 1,032"]) != ""


def test_the_tutorial_is_played_but_for_the_installation() -> None:
    """Everything else of it is typed."""
    blocks = read_blocks(TUTORIAL)
    assert [block.typed[0].command for block in blocks if block.mark == "not"] == ["make venv"]
    assert sum(len(block.typed) for block in blocks) >= 25


@pytest.mark.parametrize("page", ALL, ids=lambda page: page.stem)
def test_every_block_of_a_how_to_is_played_or_says_why_not(page: Path) -> None:
    """Here, by a test that it names and that types the same, or nowhere, since it takes what no test has."""
    blocks = [block for block in read_blocks(page) if block.language == "console"]
    assert len(blocks) == page.read_text(encoding="utf-8").count("```console")
    for block in blocks:
        kind, _, why = block.mark.partition(", ")
        match kind:
            case "company":
                assert page.stem in {*ALONE, *itertools.chain(*TOGETHER)}
            case "elsewhere":
                _check_elsewhere(block, [ROOT / name for name in why.split(" and ")], page)
            case "not":
                assert re.search(ELSEWHERE[why], block.text), f"nothing in it says that {why}"
            case "before the next":  # by the imitation, of which the next block says what it is told
                (told,) = re.findall(r"/change -d '(.+?)'", block.text)
                assert any(("before", told) in other.before for other in blocks)
            case other:
                pytest.fail(f"nobody knows how to play {other!r}")


def _check_elsewhere(block: Block, files: list[Path], page: Path) -> None:
    text = "".join(file.read_text(encoding="utf-8") for file in files)
    if page.name in text:
        return  # it reads the page itself
    words = re.findall(
        r"(?:^|&& )syncd (\w[\w-]*)|\s(--[a-z-]+)|kill -([A-Z0-9]+)|127\.0\.0\.1:\d+/(\w+)", _strip(block)
    )
    said = [word for found in words for word in found if word]
    assert said
    assert [word for word in said if not re.search(rf"\b{word.lstrip('-')}\b|SIG{word}\b", text)] == []


def _strip(block: Block) -> str:
    """Return the commands of a block, one a line, without comments."""
    return "\n".join(typed.command.partition(" # ")[0] for typed in block.typed if "systemctl" not in typed.command)


def test_of_the_how_tos_most_is_played() -> None:
    """So that no page takes the easy way out."""
    marks = [block.mark for page in ALL for block in read_blocks(page) if block.language == "console"]
    assert sum(mark.startswith("company") for mark in marks) >= 50
    assert sum(mark.startswith("not") for mark in marks) <= 8
