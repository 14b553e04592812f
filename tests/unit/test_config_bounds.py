"""Settings files that are no settings: refused in a sentence, at once, whatever they are."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from syncd.config import load_settings
from syncd.config.layers import MAX_SETTINGS_BYTES
from syncd.errors import ConfigError

HOSTILE = {
    "arrays": b"x = " + b"[" * 200_000,
    "tables": b"x = " + b"{a=" * 100_000,
    "large": b"#" * (3 * MAX_SETTINGS_BYTES),
    "dotted": b"a" + b".a" * 200_000 + b" = 1",
    "quoted": b'"a"' + b' . "a"' * 100_000 + b" = 1",
    "table": b"[" + b"a." * 200_000 + b"a]\nx=1",
    "digits": b"[guard]\nmax_removals = " + b"9" * 200_000,
    "sections": b"".join(b"[x%d]\n" % number for number in range(30_000)),
    "keys": b"[guard]\n" + b"".join(b"x%d=1\n" % number for number in range(30_000)),
    "encoding": b'x = "\xff"',
}


@pytest.mark.parametrize("name", HOSTILE)
def test_whatever_a_file_holds_is_refused_at_once(name: str, tmp_path: Path) -> None:
    """Nested without end, keys without end, far too large: few sentences, and within seconds of processor time."""
    file = tmp_path / "syncd.toml"
    file.write_bytes(HOSTILE[name])
    started = time.process_time()
    with pytest.raises(ConfigError) as raised:
        load_settings(file, {})
    assert time.process_time() - started < 15
    assert len(raised.value.problems) < 200
    assert all(len(problem) < 1000 for problem in raised.value.problems)


@pytest.mark.parametrize("what", ["settings", "secret", "certificate"])
@pytest.mark.parametrize("kind", ["pipe", "device", "directory"])
def test_what_is_no_file_is_not_read(what: str, kind: str, tmp_path: Path) -> None:
    """A pipe that nobody writes to is not waited for, and a device without an end is not read to it."""
    odd = tmp_path / "odd"
    match kind:
        case "pipe":
            os.mkfifo(odd)
        case "device":
            odd = Path("/dev/zero")
        case _:
            odd.mkdir()
    file = odd if what == "settings" else tmp_path / "syncd.toml"
    if what != "settings":
        key = "client_secret_file" if what == "secret" else "certificate_file"
        file.write_text(f'[graph]\n{key} = "{odd}"\n', encoding="utf-8")
    with pytest.raises(ConfigError, match="is a directory" if kind == "directory" else "no regular file"):
        load_settings(file, {})


def test_a_long_file_of_good_settings_is_read(tmp_path: Path) -> None:
    """Thousands of protected records in one line are no key of many parts."""
    listed = ",".join(f'"a.b.c.d{number}@x.example"' for number in range(10_000))
    file = tmp_path / "syncd.toml"
    file.write_text(f"[scope]\nprotect = [{listed}]\n", encoding="utf-8")
    loaded = load_settings(file, {}, need=frozenset(), only=frozenset({"scope"}))
    assert len(loaded.scope.protect) == 10_000
