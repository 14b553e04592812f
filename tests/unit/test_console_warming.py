"""The first page of a process waits for nothing that could have been made ready before."""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys

import pytest
from jinja2 import Environment

from syncd.clock import Clock
from syncd.web.console import view
from tests.unit.test_console_server import make_desk, served


async def test_templates_are_compiled_as_soon_as_the_console_listens(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each of them, before anybody asks for a page."""
    compiled, compile_template = list[str](), Environment.compile

    def watch(self: Environment, source: str, name: str | None = None, filename: str | None = None) -> object:
        compiled.append(str(name))
        return compile_template(self, source, name, filename)

    monkeypatch.setattr(Environment, "compile", watch)
    view.make_environment.cache_clear()
    wanted = sorted(file.name for file in (view.FOLDER / "templates").iterdir())
    async with served(make_desk(Clock(), allow_http=True)) as log:
        await log.wait("console.listening")
        async with asyncio.timeout(30):
            while len(compiled) < len(wanted):
                await asyncio.sleep(0)
    assert sorted(compiled) == wanted


def test_the_parts_of_the_store_that_pages_ask_are_loaded_then() -> None:
    """What a page asks for first is imported already."""
    asked = set[str]()
    for file in view.FOLDER.rglob("*.py"):
        text = file.read_text(encoding="utf-8")
        asked |= set(re.findall(r"(?:(?<![\w.])store|Store\((?:view\.)?database\))\.(\w+)\.", text))
    assert len(asked) > 4
    script = (
        "import sys, syncd.web.console.server as server; server.prepare(); known = set(sys.modules)\n"
        "from syncd.store.store import Store\n"
        f"store = Store(None); [getattr(store, name) for name in {sorted(asked)!r}]\n"
        "print(sorted(set(sys.modules) - known))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "[]"
