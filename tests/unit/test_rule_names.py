"""What else rules about privileges name, asked when the settings are refused: the way there may be closed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import stamina
import structlog

from syncd.bootstrap.rule_names import tell_all
from syncd.errors import ConfigError

SETTINGS = """
[graph]
tenant_id = "7b68fdf7-b9e5-401a-8149-1cfa637cab2c"
client_id = "509b057b-c946-4d1b-9a51-20d8c9414f04"
client_secret = "x"
authority_url = "https://127.0.0.1:9"
base_url = "https://127.0.0.1:9"
[bps]
portal_url = "https://127.0.0.1:9/portal"
client_id = "4bca4e9c-dada-4cbb-8703-a7de2b152c04"
client_secret = "x"
[[privileges]]
group = "A"
database = 1
application = "I"
level = "Reader"
"""
LEVEL = "privileges[0].level: is no level of an application"


@pytest.fixture
def _no_logs_yet() -> Iterator[None]:
    """As in a process that has just begun."""
    structlog.reset_defaults()
    yield
    structlog.reset_defaults()


@pytest.mark.usefixtures("_no_logs_yet")
def test_sides_that_cannot_be_asked_are_named_and_stdout_stays_empty(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The refusal is as it was, and says what was not looked up; log lines go to stderr before they are set up."""
    (tmp_path / "syncd.toml").write_text(f"[store]\nurl = 'sqlite:///{tmp_path / 'store.db'}'\n{SETTINGS}")
    with stamina.set_testing(True, attempts=2, cap=True):
        refused = tell_all(ConfigError([LEVEL], where="here"), tmp_path / "syncd.toml", {})
    assert (refused.problems[0], refused.where) == (LEVEL, "here")
    assert all("what else they name was not looked up: " in problem for problem in refused.problems[1:])
    assert len(refused.problems) == 3
    structlog.get_logger("syncd.http").warning("http.retry")
    assert capsys.readouterr().out == ""
    assert not (tmp_path / "store.db").exists()


def test_another_refusal_asks_nobody(tmp_path: Path) -> None:
    """Nothing but rules about privileges sends it to the sides."""
    refused = ConfigError(["policy.mode: is none of"])
    assert tell_all(refused, tmp_path / "nothing.toml", {}) is refused
