"""What the links of a delta round carry, and what a page of it holds."""

from __future__ import annotations

from typing import Literal

import msgspec

Stream = Literal["users", "groups"]


class Token(msgspec.Struct, frozen=True, array_like=True):
    """What a link carries. ``since`` is -1 in an initial round; ``role`` next: inside a round, delta: after one.

    ``since``/``until`` are positions in the change log, ``bound`` the number of objects that an initial round walks,
    ``index``/``relation``/``link`` where the next page starts, ``opened`` and ``issued`` epoch seconds, ``line`` the
    initial round from which a link descends.
    """

    role: Literal["next", "delta"]
    stream: Stream
    properties: tuple[str, ...]
    relations: tuple[str, ...]
    only: tuple[str, ...]
    serial: int
    opened: float
    issued: float
    since: int
    until: int
    previous: int = 0
    bound: int = 0
    index: int = 0
    relation: int = 0
    link: int = 0
    page: int = 0
    minimal: bool = False
    paused: bool = False
    shuffle: int = 0
    duplicates: float = 0.0
    line: int = 0


class Page(msgspec.Struct, frozen=True):
    """One page: encoded entries, and the token of its only link. ``text`` overrides the token's sealed text."""

    entries: list[bytes]
    token: Token
    text: str = ""
