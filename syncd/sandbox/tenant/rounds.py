"""What one incremental delta round reports: the change log between two positions, folded into one entry per object."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from syncd.sandbox.tenant.directory import Directory
from syncd.sandbox.tenant.objects import Change, Group


@dataclass(slots=True)
class Touched:
    """One object that changed. ``links`` are (relationship, other object, ended); ``whole``: it is as if new."""

    id: str
    whole: bool = False
    removed: bool = False
    fields: set[str] = field(default_factory=set)
    links: list[tuple[str, str, bool]] = field(default_factory=list)
    manager_changed: bool = False
    manager_before: str | None = None


def collect_changes(
    directory: Directory, stream: Literal["users", "groups"], since: int, until: int, *, tracked: frozenset[str]
) -> list[Touched]:
    """Return the objects of a stream that changed in a tracked way between two log positions, in order of the change.

    Of several changes to one link the last one counts. A restored group reports all its links again.
    """
    found: dict[str, Touched] = {}
    ended: dict[str, dict[tuple[str, str], bool]] = {}
    for change in directory.log[since:until]:
        if change.stream != stream:
            continue
        touched = found.setdefault(change.id, Touched(change.id))
        _fold(directory, touched, change, tracked=tracked, links=ended.setdefault(change.id, {}))
    for object_id, links in ended.items():
        found[object_id].links = [(relation, other, gone) for (relation, other), gone in links.items()]
    return [t for t in found.values() if t.whole or t.removed or t.manager_changed or t.links or t.fields & tracked]


def _fold(
    directory: Directory,
    touched: Touched,
    change: Change,
    *,
    tracked: frozenset[str],
    links: dict[tuple[str, str], bool],
) -> None:
    match change.what:
        case "created":
            touched.whole = True
        case "restored":
            touched.whole = True
            group = directory.objects[change.id]
            if isinstance(group, Group):
                for relation in ("members", "owners"):
                    if relation in tracked:
                        links.update({(relation, other): False for other in group.links(relation)})
        case "removed":
            touched.removed = True
        case "changed":
            touched.fields.update(change.fields)
        case "manager":
            if "manager" in tracked:
                if not touched.manager_changed:
                    touched.manager_before = change.other
                touched.manager_changed = True
        case "linked" | "unlinked":
            if change.fields[0] in tracked and change.other is not None:
                links.pop((change.fields[0], change.other), None)
                links[change.fields[0], change.other] = change.what == "unlinked"
