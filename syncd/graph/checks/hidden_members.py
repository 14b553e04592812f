"""Groups that hide their members: which there are, and whether this application may see who is in them.

A group with the visibility HiddenMembership shows its members only to who has Member.Read.Hidden besides the other
permissions ("List group members"); without it the list is refused or, perhaps, empty with status 200. So an empty list
of such a group proves nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import quote

from syncd.errors import Forbidden, NotFound, RemoteError
from syncd.graph.checks.result import GRANT, PATIENCE, Probe, judge_failure
from syncd.graph.client import GraphClient
from syncd.graph.options import PERMISSIONS
from syncd.graph.permissions import HIDDEN_PERMISSION, Claims
from syncd.graph.wire.parse import parse_group_list, parse_members
from syncd.graph.wire.refusals import Purpose

_PAGES = 300
_TRIED = 20
_NAMED = 5


@dataclass(frozen=True, slots=True)
class _Found:
    """The groups of the tenant as far as they matter here: id and name of those that hide their members."""

    hidden: tuple[tuple[str, str], ...]
    open_id: str | None
    whole: bool


async def probe_members(client: GraphClient, claims: Claims | None) -> tuple[Probe, ...]:
    """Try to read members of a group, and of those groups that hide them. Raises no RemoteError."""
    try:
        found = await _find_groups(client)
    except RemoteError as error:
        said = Probe("graph.members", judge_failure(error), detail=str(error), remedy="see the message")
        return said, Probe("graph.hidden", "unknown", detail="not tried: the groups cannot be listed")
    return await _try_open(client, found.open_id), await _try_hidden(client, found, claims)


async def _find_groups(client: GraphClient) -> _Found:
    """List all groups by their bare ids; no filter by visibility is documented."""
    hidden: list[tuple[str, str]] = []
    open_id: str | None = None
    url = client.make_url("/groups?$select=id,displayName,visibility&$top=999")
    for _ in range(_PAGES):
        groups, link = await client.fetch(
            url, parse_group_list, purpose=Purpose("list groups", PERMISSIONS["groups"]), retry=PATIENCE
        )
        for group in groups:
            if group.attributes.get("visibility") == "HiddenMembership":
                hidden.append((group.id, str(group.attributes.get("displayName") or "")))
            else:
                open_id = open_id or group.id
        if link is None:
            return _Found(tuple(hidden), open_id, True)
        url = client.check_link(link)
    return _Found(tuple(hidden), open_id, False)


async def _has_members(client: GraphClient, group_id: str) -> bool:
    links, _ = await client.fetch(
        client.make_url(f"/groups/{quote(group_id, safe='')}/members?$select=id&$top=1"),
        parse_members,
        purpose=Purpose("read the members of a group", PERMISSIONS["groups"]),
        retry=PATIENCE,
    )
    return bool(links)


async def _try_open(client: GraphClient, group_id: str | None) -> Probe:
    if group_id is None:
        return Probe("graph.members", "ok", detail="no group to try: the tenant shows none that is open")
    try:
        await _has_members(client, group_id)
    except NotFound:
        return Probe(
            "graph.members", "unknown", detail="the group that was tried has just been deleted", remedy="try again"
        )
    except RemoteError as error:
        remedy = f"grant {PERMISSIONS['groups']} {GRANT}" if error.status == 403 else "see the message"
        return Probe("graph.members", judge_failure(error), detail=str(error), remedy=remedy)
    return Probe("graph.members", "ok", detail="the members of a single group can be read")


async def _try_hidden(client: GraphClient, found: _Found, claims: Claims | None) -> Probe:
    if not found.hidden:
        if not found.whole:
            return Probe("graph.hidden", "unknown", detail="too many groups: not all were looked at")
        held = claims is not None and HIDDEN_PERMISSION in claims.roles
        more = f" ({HIDDEN_PERMISSION} is granted and not needed now)" if held else ""
        return Probe("graph.hidden", "ok", detail=f"no group hides its members{more}")
    refused: list[tuple[str, str]] = []
    empty: list[tuple[str, str]] = []
    for group in found.hidden[:_TRIED]:
        try:
            if not await _has_members(client, group[0]):
                empty.append(group)
        except Forbidden:
            refused.append(group)
        except NotFound:
            continue
        except RemoteError as error:
            return Probe("graph.hidden", "unknown", detail=str(error), remedy="see the message")
    return _judge(found, refused=refused, empty=empty, claims=claims)


def _judge(
    found: _Found, *, refused: Sequence[tuple[str, str]], empty: Sequence[tuple[str, str]], claims: Claims | None
) -> Probe:
    """Say which groups cannot be read; an empty list is believed of whom the token names the permission."""
    count = f"{len(found.hidden)} group{'s hide their' if len(found.hidden) > 1 else ' hides its'} members"
    if claims is not None and HIDDEN_PERMISSION in claims.roles:
        unreadable, doubtful = list(refused), False
    else:
        unreadable, doubtful = [*refused, *empty], claims is None and not refused
    if not unreadable:
        some = f"; {_TRIED} of them were tried, and these" if len(found.hidden) > _TRIED else ", and they"
        return Probe("graph.hidden", "ok", detail=f"{count}{some} can be read")
    names = ", ".join(f"{name} ({group_id})" for group_id, name in unreadable[:_NAMED])
    more = f" and {len(unreadable) - _NAMED} more" if len(unreadable) > _NAMED else ""
    tried = f", of which {_TRIED} were tried" if len(found.hidden) > _TRIED else ""
    what = "refused" if len(refused) == len(unreadable) else "shown empty" if not refused else "refused or shown empty"
    return Probe(
        "graph.hidden",
        "unknown" if doubtful else "warning",
        detail=f"{count}{tried}; {what} to us: {names}{more}. Nobody is removed from such a group, and new members "
        "stay unknown",
        remedy=f"grant {HIDDEN_PERMISSION} {GRANT}, and run 'syncd sync full'; or leave these groups out of the scope",
    )
