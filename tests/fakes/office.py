"""The company that most tests of pulls play with: eight people, a manager, and three groups."""

from __future__ import annotations

from tests.fakes.source import FakeSource

PLACES = {
    "all@grp": {"u0@x.com", "u1@x.com", "u2@x.com", "u3@x.com", "u4@x.com"},
    "sales@grp": {"u0@x.com", "u4@x.com"},
    "ring@grp": {"u0@x.com", "u4@x.com"},
}
"""Who is in which BPS group, with the nested groups flattened."""


def settle_in(source: FakeSource) -> None:
    """Let them be hired: u0 is everybody's manager; All holds Sales, and Sales and Ring hold each other."""
    for number in range(8):
        hire(source, number, manager="u0" if number else None)
    for name, title in (("g1", "All"), ("g2", "Sales"), ("g3", "Ring")):
        source.put_group(name, displayName=title, mailNickname=f"{title.lower()}@grp")
    for number in range(4):
        source.link("g1", f"u{number}")
    source.link("g1", "g2", "group")
    source.link("g2", "u4")
    source.link("g2", "u0")
    source.link("g2", "g3", "group")
    source.link("g3", "g2", "group")
    source.link("g3", "d1", "device")


def hire(source: FakeSource, number: int, *, manager: str | None = "u0", **attributes: object) -> None:
    """Add one person with a login, a name and an address."""
    login = f"u{number}@x.com"
    stated = {"userPrincipalName": login, "displayName": f"User {number}", "mail": login, **attributes}
    source.put_user(f"u{number}", manager=manager, **stated)  # type: ignore[arg-type]
