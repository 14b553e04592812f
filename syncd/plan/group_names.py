"""Which group a setting means: looked up by its name once, and remembered by its id. Pure.

================================  ================================================================================
the setting                       means
================================  ================================================================================
is the id of a group              that group, and never one that is named like an id
is a name that is remembered      the remembered group, whoever else bears the name, whatever it is called by now
is a name that is not remembered  the one group that bears it, which is remembered from now on
================================  ================================================================================

Without exactly one such group in the tenant nothing is planned.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches

_NAMED = 5
"""So many ids, or names like the one that was meant, are named in a message."""
_CHOICE = 20
"""So many names are all named."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownGroup:
    """A group of the directory. ``there``: the tenant has it."""

    key: int
    id: str
    name: str
    there: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Remembered:
    """Which group a name means. ``called``: its name when last looked at; ``rivals``: others that bear the name now."""

    id: str
    called: str
    rivals: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Meaning:
    """What a setting comes to: a group, or the problem. ``news`` is what a person has to be told."""

    group: KnownGroup | None = None
    remembered: Remembered | None = None
    problem: str = ""
    news: tuple[str, ...] = field(default=())


def fold_name(name: str) -> str:
    """Return the form in which names of groups are compared: without case, as Graph does."""
    return name.casefold()


def name_choice(wanted: str, names: Iterable[str]) -> str:
    """Return in words which names there are: all where they are few, else those most like ``wanted``."""
    spelled = {fold_name(name): name for name in names if name}
    if len(spelled) <= _CHOICE:
        return f"there are {', '.join(sorted(spelled.values(), key=str.casefold))}" if spelled else "there are none"
    near = [spelled[fold] for fold in get_close_matches(fold_name(wanted), spelled, n=_NAMED)]
    if near:
        return f"of {len(spelled):,} the nearest are {', '.join(near)}"
    first = sorted(spelled.values(), key=str.casefold)[:_NAMED]
    return f"none of {len(spelled):,} is like it; the first are {', '.join(first)}"


def mean_id(setting: str, group: KnownGroup) -> Meaning:
    """Return what a setting means that is the id of a group."""
    if group.there:
        return Meaning(group=group)
    return Meaning(problem=f"{setting}: the group {group.id} is deleted in the tenant; nothing was planned")


def mean_name(setting: str, name: str, bearers: Sequence[KnownGroup]) -> Meaning:
    """Return what a name means that nobody looked up before."""
    if len(bearers) == 1:
        found = bearers[0]
        return Meaning(group=found, remembered=Remembered(id=found.id, called=found.name))
    if bearers:
        ids = list_ids(group.id for group in bearers)
        return Meaning(problem=f"{setting}: {len(bearers)} groups are named '{name}' ({ids}); name the one by its id")
    return Meaning(problem=f"{setting}: no group has the id or the name '{name}'; nothing was planned")


def mean_remembered(
    setting: str,
    name: str,
    *,
    known: Remembered,
    group: KnownGroup | None,
    bearers: Iterable[KnownGroup],
    looked_at: Collection[str] | None,
) -> Meaning:
    """Return what a name means that was looked up before.

    ``group``: the remembered one; ``bearers``: the groups that bear the name, as far as they were looked at; None:
    all were.
    """
    present = {each.id for each in bearers}
    stay = set() if looked_at is None else set(known.rivals) - set(looked_at)
    rivals = tuple(sorted((present | stay) - {known.id}))
    if group is None or not group.there:
        who = f"; another group has the name now ({list_ids(rivals)})" if rivals else ""
        return Meaning(
            problem=f"{setting}: the group that '{name}' means ({known.id}) is gone{who}; give the id of the one that "
            "is meant; nothing was planned"
        )
    news: list[str] = []
    if fresh := set(rivals) - set(known.rivals):
        news.append(
            f"{setting}: another group is named '{name}', too ({list_ids(sorted(fresh))}), and changes nothing: the "
            f"name goes on to mean {known.id}"
        )
    if fold_name(group.name) not in (fold_name(known.called), fold_name(name)):
        news.append(
            f"{setting}: the group that '{name}' means ({known.id}) has another name now, and is meant all the same"
        )
    return Meaning(group=group, remembered=Remembered(id=known.id, called=group.name, rivals=rivals), news=tuple(news))


def list_ids(ids: Iterable[str]) -> str:
    """Return the first few ids as a text, and how many more there are."""
    found = list(ids)
    more = f" and {len(found) - _NAMED} more" if len(found) > _NAMED else ""
    return ", ".join(found[:_NAMED]) + more
