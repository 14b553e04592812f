"""Random histories that a test plays by itself: the same in CI, new ones by hand, or those of a seed again."""

from __future__ import annotations

import pytest

from tests.property import machines
from tests.property.machines import SHARES, list_seeds


def choose(monkeypatch: pytest.MonkeyPatch, wanted: str | None, seed: str | None) -> list[list[str]]:
    """Return the seeds of each share under these variables."""
    monkeypatch.setattr(machines, "_WANTED", wanted)
    monkeypatch.setattr(machines, "_SEED", seed)
    return [list_seeds(share, variants=2) for share in SHARES]


def test_the_variables_say_how_many_histories_and_which(monkeypatch: pytest.MonkeyPatch) -> None:
    """As for the other random machines; no two shares play the same."""
    assert choose(monkeypatch, None, None) == choose(monkeypatch, None, "7") == [[f"ci/{share}/0"] for share in SHARES]
    first, second = choose(monkeypatch, "80", None), choose(monkeypatch, "80", None)
    assert first != second
    assert {len(share) for share in first} == {10}
    assert choose(monkeypatch, "80", "7") == choose(monkeypatch, "80", "7")
    every = [seed for share in choose(monkeypatch, "80", "7") for seed in share]
    assert len(set(every)) == len(every) == 40
    assert every[0] == "7/0/0"
