"""Nested groups: which groups lie below a group. Diamonds count once, cycles end."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

Edges = Mapping[int, frozenset[int]]
"""Direct child groups of each group that has any."""


def make_edges(pairs: Iterable[tuple[int, int]]) -> Edges:
    """Return the edges from (group, child group) pairs."""
    children: dict[int, set[int]] = {}
    for group, child in pairs:
        children.setdefault(group, set()).add(child)
    return {group: frozenset(found) for group, found in children.items()}


def find_below(edges: Edges, root: int) -> frozenset[int]:
    """Return ``root`` and every group below it, at any depth."""
    found = {root}
    rest = [root]
    while rest:
        for child in edges.get(rest.pop(), ()):
            if child not in found:
                found.add(child)
                rest.append(child)
    return frozenset(found)
