"""The way from nested groups to a person, as a picture."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup

from syncd.plan.report.scope_verdicts import Place
from syncd.web.console.texts.catalogue import Texts

_SHOWN = 24
_WIDTH, _HEIGHT, _GAP, _ROW = 220, 38, 44, 48
_LETTERS = 25


def draw_paths(places: Sequence[Place], name: str, texts: Texts) -> Markup:
    """Return every group that an object lies in as a tree: the object on the right, outer groups to the left.

    A group stands once, on the shortest way. What is left out of the picture is said below it; the list has all.
    """
    if not places:
        return Markup("")
    shown = sorted(places, key=lambda place: (len(place.path), place.name, place.id))[:_SHOWN]
    # A path names the groups from the outer one down: what is behind its first entry is the way of the next lower one.
    by_path = {place.path: place for place in shown}
    depth = max(len(place.path) for place in shown)
    rows = _assign_rows(shown)
    height = (max(rows.values()) + 1) * _ROW
    width = (depth + 1) * (_WIDTH + _GAP)
    parts: list[Markup] = []
    middle = _find_middle([rows[place.path] for place in shown if len(place.path) == 1])
    for place in shown:
        x, y = _locate(depth - len(place.path), rows[place.path])
        below = place.path[1:]
        low_x, low_y = _locate(depth, middle) if below not in by_path else _locate(depth - len(below), rows[below])
        parts.append(
            Markup('<path class="edge" d="M{} {} C{} {} {} {} {} {}"/>').format(
                x + _WIDTH, y + _HEIGHT / 2, x + _WIDTH + _GAP, y + _HEIGHT / 2, low_x - _GAP, low_y + _HEIGHT / 2,
                low_x, low_y + _HEIGHT / 2,
            )
        )  # fmt: skip
    for place in shown:
        x, y = _locate(depth - len(place.path), rows[place.path])
        parts.append(
            Markup('<a href="/groups/{}">{}</a>').format(
                place.id, _draw_box(x, y, name=place.name or place.id, kind="group")
            )
        )
    x, y = _locate(depth, middle)
    parts.append(_draw_box(x, y, name=name, kind="self"))
    left = len(places) - len(shown)
    more = Markup('<p class="quiet">{}</p>').format(texts("explain.paths_left", n=left)) if left else Markup("")
    return (
        Markup(
            '<svg class="paths" viewBox="0 0 {} {}" width="{}" height="{}" role="img" aria-label="{}">{}</svg>'
        ).format(
            width, height, width, height, texts("explain.paths_label", n=len(shown), name=name), Markup("").join(parts)
        )
        + more
    )


def _assign_rows(shown: Sequence[Place]) -> dict[tuple[str, ...], float]:
    """Return the row of each group: those that lie in nothing of the picture get one each, inner ones lie between."""
    rows: dict[tuple[str, ...], float] = {}
    above: dict[tuple[str, ...], list[tuple[str, ...]]] = {}
    for place in shown:
        above.setdefault(place.path[1:], []).append(place.path)
    number = 0.0

    def settle(path: tuple[str, ...]) -> float:
        nonlocal number
        children = above.get(path, [])
        if not children:
            rows[path] = number
            number += 1
        else:
            rows[path] = _find_middle([settle(each) for each in children])
        return rows[path]

    for place in shown:
        if len(place.path) == 1 or place.path[1:] not in {each.path for each in shown}:
            settle(place.path)
    return rows


def _find_middle(rows: Sequence[float]) -> float:
    return (min(rows) + max(rows)) / 2 if rows else 0.0


def _locate(column: float, row: float) -> tuple[float, float]:
    return column * (_WIDTH + _GAP) + 2, row * _ROW + 6


def _draw_box(x: float, y: float, *, name: str, kind: str) -> Markup:
    short = name if len(name) <= _LETTERS else f"{name[: _LETTERS - 1]}…"
    return Markup(
        '<g><title>{}</title><rect class="box {}" x="{}" y="{}" width="{}" height="{}" rx="6"/>'
        '<text class="name" x="{}" y="{}">{}</text></g>'
    ).format(name, kind, x, y, _WIDTH, _HEIGHT, x + 10, y + _HEIGHT / 2 + 5, short)
