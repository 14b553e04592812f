"""The people of one group, read to the end of the list, and groups that hide them."""

from __future__ import annotations

from urllib.parse import quote

from yarl import URL

from syncd.errors import Forbidden, NotFound, Rejected
from syncd.graph.options import PERMISSIONS
from syncd.graph.permissions import HIDDEN_PERMISSION, read_claims
from syncd.graph.reader import TenantReader
from syncd.graph.trail import Trail
from syncd.graph.wire.parse import parse_members, parse_object
from syncd.graph.wire.refusals import Purpose, says_missing, says_page_expired
from syncd.model.source import Link, Role

_LISTING_ATTEMPTS = 5


class People(TenantReader):
    """The part of the source that reads who belongs to a group, or owns it."""

    async def fetch_members(self, group_id: str) -> tuple[Link, ...] | None:
        """Read all direct members of a group, each once; None when Graph says that there is no such group.

        Links of this list live for minutes only; when one has expired the list is read again from its start. Graph's
        v1.0 list leaves out service principals ("List group members", known issue). Raises Forbidden for a group that
        hides its members from us, also when Graph shows it empty: its list says nothing.
        """
        links = await self._list_people(group_id, "members")
        if links == () and await self._may_hide_members(group_id):
            raise Forbidden(
                f"Microsoft Graph shows no members of group {group_id}, which hides them from applications "
                f"without the permission {HIDDEN_PERMISSION}",
                status=403,
            )
        return links

    async def fetch_owners(self, group_id: str) -> tuple[Link, ...] | None:
        """Read all owners of a group, as ``fetch_members`` reads members; nobody hides owners."""
        return await self._list_people(group_id, "owners")

    async def _list_people(self, group_id: str, role: Role) -> tuple[Link, ...] | None:
        return await self._list_whole(
            f"/groups/{quote(group_id, safe='')}/{role}?$select=id&$top=999",
            Purpose(f"read the {role} of a group", PERMISSIONS["groups"], dispensable=True),
        )

    async def _list_whole(self, path: str, purpose: Purpose) -> tuple[Link, ...] | None:
        for rest in range(_LISTING_ATTEMPTS - 1, -1, -1):
            try:
                return await self._list_links(path, purpose)
            except NotFound as error:
                if says_missing(error):
                    return None
                raise
            except Rejected as error:
                if not says_page_expired(error) or rest == 0:
                    raise
        raise AssertionError("unreachable: the last attempt returns or raises")

    async def _may_hide_members(self, group_id: str) -> bool:
        """Return whether an empty list of members may be due to a permission that we cannot be sure to have.

        Only Microsoft 365 groups can hide their members; one without a stated visibility may be one of them.
        """
        claims = read_claims(await self._client.tokens.fetch())
        if claims is not None and HIDDEN_PERMISSION in claims.roles:
            return False
        try:
            group = await self._client.fetch(
                self._client.make_url(f"/groups/{quote(group_id, safe='')}?$select=id,visibility,groupTypes"),
                parse_object,
                purpose=Purpose("read a group", PERMISSIONS["groups"]),
            )
        except NotFound as error:
            if says_missing(error):
                return False
            raise
        kinds, visibility = group.get("groupTypes"), group.get("visibility")
        is_unified = isinstance(kinds, list) and "Unified" in kinds
        return visibility == "HiddenMembership" or (visibility is None and is_unified)

    async def _list_links(self, path: str, purpose: Purpose) -> tuple[Link, ...]:
        url: URL | None = self._client.make_url(path)
        trail = Trail()
        found: dict[str, Link] = {}
        while url is not None:
            links, next_link = await self._client.fetch(url, parse_members, purpose=purpose)
            found.update((link.member_id, link) for link in links if not link.removed)
            trail.step(str(url), next_link, empty=not links)
            url = None if next_link is None else self._client.check_link(next_link)
        return tuple(found.values())
