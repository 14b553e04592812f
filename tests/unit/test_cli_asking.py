"""Asking a daemon: what is said when it does not answer, is gone, or works by other rules. No question is left."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from syncd.bootstrap.rules import identify_rules
from syncd.cli import asking
from syncd.cli.asking import ask_daemon, has_working_daemon
from syncd.clock import Clock
from syncd.config import Settings
from syncd.errors import StoreLocked
from syncd.store.db.database import Database
from syncd.store.db.lock import StoreLock
from syncd.store.runs.daemons import DaemonSeen
from syncd.store.store import Store
from tests.fakes.daemon import make_settings, open_new_store

SOON = timedelta(milliseconds=1)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Settings of a store in this folder."""
    return make_settings(f"sqlite:///{tmp_path / 'store.db'}")


@pytest.fixture
def database(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[Database]:
    """A store on which a daemon says that it works, which never answers."""
    monkeypatch.setattr(asking, "_LOOK_SECONDS", 0.0)
    made = open_new_store(settings)
    now = Clock().now()
    Store(made).daemons.say_up("one", DaemonSeen(role="working", host="here", pid=1, since=now), now=now)
    with StoreLock(made):
        yield made
    made.close()


def test_without_an_answer_in_time_the_question_is_taken_back(settings: Settings, database: Database) -> None:
    """The sentence says how long, and how to wait longer."""
    assert has_working_daemon(database)
    with pytest.raises(StoreLocked, match=r"did not answer in 0 seconds.*--wait 1h"):
        ask_daemon(settings, database, "plan none", wait=SOON)
    assert Store(database).asked.load_waiting.blocking() == []


def test_a_daemon_that_ends_meanwhile_is_not_waited_for(
    settings: Settings, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may have been stopped or killed, and nobody would ever answer."""
    monkeypatch.setattr(asking, "has_working_daemon", lambda _database: False)
    with pytest.raises(StoreLocked, match="has ended"):
        ask_daemon(settings, database, "drift")
    assert Store(database).asked.load_waiting.blocking() == []


def test_a_refusal_is_told_in_its_words(
    settings: Settings, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The daemon has other rules, say; the question says by which rules it was meant."""
    asked: list[str] = []

    def refuse(_seconds: float) -> None:
        (wish,) = Store(database).asked.load_waiting.blocking()
        asked.append(wish.rules)
        Store(database).asked.refuse.blocking([wish.id], "it has other rules")

    monkeypatch.setattr("syncd.cli.asking.time.sleep", refuse)
    with pytest.raises(StoreLocked, match="it has other rules"):
        ask_daemon(settings, database, "plan delta")
    assert asked == [identify_rules(settings)]


def test_rules_are_the_same_by_what_they_say_and_differ_by_the_guard_too(settings: Settings) -> None:
    """Where the store lies is no rule; how much may go in a run is one."""
    assert identify_rules(make_settings("sqlite:///elsewhere.db")) == identify_rules(settings)
    assert identify_rules(make_settings("sqlite:///elsewhere.db", guard__max_removals="7")) != identify_rules(settings)
