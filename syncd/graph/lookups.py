"""Looking for single objects of the tenant: by name, among the deleted ones, by their groups, by a count."""

from __future__ import annotations

import re
from datetime import datetime
from urllib.parse import quote

from syncd.errors import Forbidden, Intercepted, NotFound, NotOffered, Rejected, RemoteError, Unavailable
from syncd.graph.application import find_secret_end
from syncd.graph.options import PERMISSIONS
from syncd.graph.people import People
from syncd.graph.singles import Singles
from syncd.graph.wire.parse import parse_count, parse_object
from syncd.graph.wire.refusals import Purpose, says_missing, says_unknown
from syncd.http import RetryPolicy
from syncd.model.credential import SecretEnd
from syncd.model.kinds import RecordKind
from syncd.model.source import Role, Stream, UserItem

_OBJECT_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_ONCE = RetryPolicy(attempts=2, patience=20.0)
"""For what explains a difference, and is no reason to wait."""
_COUNTING = {"ConsistencyLevel": "eventual", "Accept": "text/plain, application/json;q=0.5"}
"""What ``$count`` asks for (advanced query capabilities): it reads an index that lags behind recent changes."""


class Lookups(Singles, People):
    """The part of the source that a run over one object, and the check of memberships, need beside the streams."""

    async def find_user(self, name: str) -> UserItem | None:
        """Read one active user by object id or user principal name; None when Graph says there is none.

        Anything of another form is no user's name, and is not asked for: it might name a function of Graph's.
        """
        text = name.strip()
        if not _OBJECT_ID.fullmatch(text) and "@" not in text:
            return None
        return await self.fetch_user(text)

    async def find_groups(self, name: str) -> frozenset[str]:
        """Return the ids of the active groups with that object id, or with that display name (without case)."""
        text = name.strip()
        if _OBJECT_ID.fullmatch(text):
            group = await self.fetch_group(text)
            return frozenset() if group is None else frozenset({group.id})
        condition = "displayName eq '" + text.replace("'", "''") + "'"
        found = await self._list_whole(
            f"/groups?$filter={quote(condition, safe='')}&$select=id&$top=999",
            Purpose("look for a group by its name", PERMISSIONS["groups"]),
        )
        return frozenset(link.member_id for link in found or () if link.member_id)

    async def fetch_groups_of(self, user_id: str, *, role: Role = "members") -> frozenset[str] | None:
        """Return the groups of which a user is a direct member, or an owner; None when Graph knows no such user.

        Whatever is no group is left out. So may be, of memberships, groups that hide their members. Raises NotOffered
        where Graph does not tell what somebody owns.
        """
        relation = "memberOf" if role == "members" else "ownedObjects"
        permission = PERMISSIONS["groups" if role == "members" else "users"]
        found = await self._list_whole(
            f"/users/{quote(user_id, safe='')}/{relation}?$select=id&$top=999",
            Purpose(f"read {relation} of a user", permission, dispensable=role == "owners"),
        )
        return None if found is None else frozenset(link.member_id for link in found if link.kind == "group")

    async def fetch_member_count(self, group_id: str, *, kind: RecordKind | None = None) -> int | None:
        """Return how many direct members Graph counts, of one type (an OData cast) or of any.

        None when it says that there is no such group. NotOffered when it counts no members at all.
        """
        cast = "" if kind is None else f"/microsoft.graph.{kind}"
        try:
            return await self._client.fetch(
                self._client.make_url(f"/groups/{quote(group_id, safe='')}/members{cast}/$count"),
                parse_count,
                purpose=Purpose("count the members of a group", PERMISSIONS["groups"]),
                headers=_COUNTING,
            )
        except (NotFound, Rejected, Unavailable, Intercepted) as error:
            if isinstance(error, NotFound) and says_missing(error):
                return None
            if says_unknown(error):  # a last witness: only after every repetition is it believed that there is none
                raise NotOffered(str(error), status=error.status, code=error.code) from error
            raise

    async def find_secret_end(self, *, now: datetime) -> SecretEnd | None:
        """Return when our client secret ends, by our own record in the tenant; None where that is not told."""
        return await find_secret_end(self._client, now=now, retry=_ONCE)

    async def fetch_agent_count(self) -> int | None:
        """Return how many accounts of agents Graph counts (an OData cast); None where it does not."""
        try:
            return await self._client.fetch(
                self._client.make_url("/users/microsoft.graph.agentUser/$count"),
                parse_count,
                purpose=Purpose("count accounts of agents", PERMISSIONS["users"], dispensable=True),
                headers=_COUNTING,
                retry=_ONCE,
            )
        except RemoteError:
            return None

    async def is_deleted(self, stream: Stream, object_id: str) -> bool | None:
        """Return whether an object is among the deleted items; None when that cannot be found out.

        Deleted groups ask for Group.Read.All (list deletedItems, "Permissions"), which syncd does not need otherwise.
        """
        permission = PERMISSIONS["users"] if stream == "users" else "Group.Read.All"
        try:
            await self._client.fetch(
                self._client.make_url(f"/directory/deletedItems/{quote(object_id, safe='')}?$select=id"),
                parse_object,
                purpose=Purpose("look among the deleted items", permission, dispensable=True),
            )
        except NotFound as error:
            if says_missing(error):
                return False
            raise
        except (Forbidden, Rejected):
            return None
        return True
