"""``syncd`` for the tests, without the second that a new interpreter takes to import everything.

A server has all of the program imported. For each command it forks, and the child is given the caller's arguments,
folder, environment and streams: a process of its own that ends as the program ends. What goes on for long, and what is
sent signals, is not for it.
"""

from __future__ import annotations

import atexit
import functools
import gc
import importlib
import json
import os
import pkgutil
import random
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import mkdtemp
from typing import NoReturn

LONG = "run|sandbox"
"""Commands that are started as any program is."""
_BYTES = 1 << 20
_LOOKS = 10.0
"""Seconds between two looks for whom the server works."""
_LATE = ("aiohttp", "msal", "rich.table", "sqlalchemy.dialects.sqlite", "stamina")
"""What else the commands import when they need it."""
_CLIENT = """
import json, os, socket, sys
with socket.socket(socket.AF_UNIX) as server:
    server.connect(sys.argv[1])
    asked = json.dumps([sys.argv[2:], os.getcwd(), dict(os.environ)]).encode()
    socket.send_fds(server, [len(asked).to_bytes(8, "big")], [0, 1, 2])
    server.sendall(asked)
    answer = server.recv(1)
sys.exit(answer[0] if answer else 70)
"""


@contextmanager
def serve_program(folder: Path, *, path: Path) -> Iterator[Path]:
    """Serve the program of ``path`` (the project) until the block ends; yields a script that is ``syncd``."""
    address, script, client = folder / "syncd.socket", folder / "syncd", folder / "client.py"
    client.write_text(_CLIENT, encoding="utf-8")
    plain = f"exec {sys.executable} -m syncd.cli.main"
    script.write_text(
        f'#!/bin/sh\nfor word; do case "$word" in {LONG}) {plain} "$@";; esac; done\n'  # also behind --config
        f'exec {sys.executable} -S -E {client} {address} "$@"\n',
        encoding="utf-8",
    )
    script.chmod(0o755)
    machine = {name: value for name, value in os.environ.items() if not name.startswith(("SYNCD_", "COLUMNS"))}
    command = (sys.executable, "-m", "tests.e2e.preloaded", str(address))
    with subprocess.Popen(command, cwd=path, env=machine, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            assert server.stdout.readline() == "ready\n"
            yield script
        finally:
            server.kill()


@functools.cache
def find_script(path: Path) -> Path:
    """Return the script that is the ``syncd`` of ``path``; its server is started once, and ends with this process."""
    stack, folder = ExitStack(), Path(mkdtemp(prefix="syncd-program-"))
    stack.callback(shutil.rmtree, folder)
    atexit.register(stack.close)
    return stack.enter_context(serve_program(folder, path=path))


def _import_program() -> None:
    import syncd

    for module in pkgutil.walk_packages(syncd.__path__, f"{syncd.__name__}."):
        if not module.name.startswith("syncd.sandbox.") and not module.name.endswith(".__main__"):
            importlib.import_module(module.name)
    for name in _LATE:
        importlib.import_module(name)
    gc.freeze()  # what all have in common is looked through by none


def _serve(address: str) -> None:
    _import_program()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for those who wait
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(address)
        listening.listen()
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        listening.settimeout(_LOOKS)
        parent = os.getppid()
        while os.getppid() == parent:  # a session that was killed cannot end its server
            try:
                caller, _ = listening.accept()
            except TimeoutError:
                continue
            if os.fork() == 0:
                listening.close()
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                _carry_out(caller)
            caller.close()


def _carry_out(caller: socket.socket) -> NoReturn:
    """Have one command carried out by a process of its own, and tell the caller how that ended."""
    length, streams, _, _ = socket.recv_fds(caller, 8, 3)
    asked = b""
    while len(asked) < int.from_bytes(length, "big"):
        asked += caller.recv(_BYTES)
    arguments, folder, environment = json.loads(asked)
    process = os.fork()
    if process == 0:
        for number, stream in enumerate(streams):
            os.dup2(stream, number)
            os.close(stream)
        os.chdir(folder)
        os.environ.clear()
        os.environ.update(environment)
        sys.argv = ["syncd", *arguments]
        random.seed()
        from syncd.cli.main import run

        run()
    _, status = os.waitpid(process, 0)
    caller.sendall(bytes([os.waitstatus_to_exitcode(status) & 255]))
    os._exit(0)


if __name__ == "__main__":
    _serve(sys.argv[1])
