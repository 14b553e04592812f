"""Paths as Graph reads them: fixed segments and type casts in any letter case, keys in parentheses as well.

``Users('a')/memberOf/graph.group`` is ``("users", "a", "memberOf", "microsoft.graph.group")``.
"""

from __future__ import annotations

import re

_SEGMENTS = (
    *("users", "groups", "directory", "deletedItems", "directoryObjects", "getByIds", "organization", "photo"),
    "applications",
    *("members", "owners", "transitiveMembers", "memberOf", "transitiveMemberOf", "manager", "directReports"),
    *("ownedObjects", "$count", "$batch", "$value"),
)
_FIXED = {name.casefold(): name for name in _SEGMENTS}
TYPES = (
    *("user", "group", "device", "servicePrincipal", "orgContact", "agentUser", "agentIdentity"),
    *("application", "administrativeUnit", "directoryRole", "agentIdentityBlueprintPrincipal"),
)
"""Entity types of directory objects, to which a list can be cast."""
_TYPES = {name.casefold(): name for name in TYPES}
_DELTA = frozenset({"delta", "delta()"})
_KEYED = re.compile(r"(\w+)\('((?:[^']|'')*)'\)")
_BY_APP_ID = re.compile(r"applications\(appid='([^']*)'\)", re.IGNORECASE)
_PREFIXES = ("microsoft.graph.", "graph.")


def read_path(segments: tuple[str, ...]) -> tuple[str, ...]:
    """Return the segments behind the version in Graph's spelling; ``delta`` and casts in their short and long forms."""
    path: list[str] = []
    for segment in segments:
        keyed = _KEYED.fullmatch(segment)
        by_app_id = _BY_APP_ID.fullmatch(segment)
        if by_app_id is not None:
            path += ["applications", f"appId={by_app_id[1]}"]
        elif keyed is not None and keyed[1].casefold() in _FIXED:
            path += [_FIXED[keyed[1].casefold()], keyed[2].replace("''", "'")]
        else:
            path.append(_spell(segment))
    return tuple(path)


def cast_of(segment: str) -> str | None:
    """Return the name of the type that a segment casts to ("" for an unknown one), None when it is no cast."""
    prefix, _, name = segment.rpartition(".")
    if prefix != "microsoft.graph":
        return None
    return name if name in TYPES else ""


def _spell(segment: str) -> str:
    folded = segment.casefold()
    for prefix in _PREFIXES:
        if folded.startswith(prefix):
            name = folded.removeprefix(prefix)
            return "delta" if name in _DELTA else f"microsoft.graph.{_TYPES.get(name, segment[len(prefix) :])}"
    return "delta" if folded in _DELTA else _FIXED.get(folded, segment)
