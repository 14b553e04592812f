"""A smaller company of the same shape: which people and groups of a large one are chosen.

The choice is the same each time, and has nothing to do with names: objects stand in the order of a hash of their ids.
"""

from __future__ import annotations

import hashlib
import heapq
from collections.abc import Collection, Iterable, Mapping

Object = tuple[int, str]
"""The store's key of an object, and its id."""


def choose_first(objects: Iterable[Object], most: int) -> frozenset[int]:
    """Return the keys of at most so many objects. Takes no more memory than these."""
    return frozenset(key for key, _ in heapq.nsmallest(most, objects, key=lambda each: _order(each[1])))


def choose_groups(
    objects: Iterable[Object], most: int, *, always: Collection[int], nested: Iterable[tuple[int, int]]
) -> frozenset[int]:
    """Return the keys of the groups that go with a sample of people.

    ``always``: groups that a rule names; they come with every group below them, since these lead people to them.
    Of the others at most ``most``. Every group comes with those that it is nested in. ``nested``: (above, below).
    """
    above: dict[int, list[int]] = {}
    below: dict[int, list[int]] = {}
    for group, inside in nested:
        above.setdefault(inside, []).append(group)
        below.setdefault(group, []).append(inside)
    chosen = _follow(always, below) | choose_first(objects, most)
    return frozenset(_follow(chosen, above))


def find_above(key: int | None, managers: Mapping[int, int], among: Collection[int]) -> int | None:
    """Return the nearest manager, upwards from ``key``, who is among the chosen; None when nobody is."""
    seen = set[int]()
    while key is not None and key not in among and key not in seen:
        seen.add(key)
        key = managers.get(key)
    return key if key in among else None


def _order(object_id: str) -> str:
    return hashlib.sha256(object_id.encode()).hexdigest()


def _follow(start: Collection[int], links: Mapping[int, list[int]]) -> set[int]:
    found, waiting = set(start), list(start)
    while waiting:
        for group in links.get(waiting.pop(), ()):
            if group not in found:
                found.add(group)
                waiting.append(group)
    return found
