"""Direct reads of single users and groups, and whether they are still there."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from urllib.parse import quote

from syncd.errors import NotFound, NotOffered, Throttled
from syncd.graph.options import PERMISSIONS
from syncd.graph.reader import TenantReader
from syncd.graph.retry import is_transient, repeat_while
from syncd.graph.wire.batch import BATCH_LIMIT, encode_batch, parse_batch
from syncd.graph.wire.parse import parse_group, parse_object, parse_user
from syncd.graph.wire.refusals import Purpose, says_missing
from syncd.model.source import GroupItem, Stream, UserItem

_BATCH_ATTEMPTS = 6


class Singles(TenantReader):
    """The part of the source that reads one object, or asks which of many there still are."""

    async def fetch_user(self, user_id: str) -> UserItem | None:
        """Read one active user with everything selected and the manager; None when Graph says there is none.

        All selected properties are stated (None: empty), and so is the manager: this is a whole, not a change.
        """
        selection = self._selection

        async def fetch() -> UserItem:
            selected = selection.selected["users"]
            properties = selection.select_listed("users")
            return await self._client.fetch(
                self._client.make_url(f"/{_make_user_key(user_id)}?$select={properties}&$expand={selection.manager}"),
                partial(parse_user, selected=selected),
                purpose=Purpose("read a user", PERMISSIONS["users"], selects=selected, own=selection.own["users"]),
            )

        try:
            return await selection.expand_offered(lambda: selection.select_offered("users", fetch))
        except NotFound as error:
            if says_missing(error):
                return None
            raise

    async def fetch_group(self, group_id: str) -> GroupItem | None:
        """Read one active group with everything selected, without members; None when Graph says there is none."""
        selected = self._selection.selected["groups"]
        properties = self._selection.select_listed("groups")
        url = self._client.make_url(f"/groups/{quote(group_id, safe='')}?$select={properties}")
        try:
            return await self._client.fetch(
                url, partial(parse_group, selected=selected), purpose=Purpose("read a group", PERMISSIONS["groups"])
            )
        except NotFound as error:
            if says_missing(error):
                return None
            raise

    async def fetch_existing(self, stream: Stream, ids: Sequence[str]) -> frozenset[str]:
        """Return those of the ids that a direct read still finds; any doubt about one of them raises."""
        unique = tuple(dict.fromkeys(ids))
        found: set[str] = set()
        for start in range(0, len(unique), BATCH_LIMIT):
            few = unique[start : start + BATCH_LIMIT]
            try:
                found |= await self._fetch_existing_batch(stream, few)
            except NotOffered:
                found |= {object_id for object_id in few if await self._exists(stream, object_id)}
        return frozenset(found)

    async def _exists(self, stream: Stream, object_id: str) -> bool:
        url = self._client.make_url(f"/{stream}/{quote(object_id, safe='')}?$select=id")
        try:
            await self._client.fetch(
                url, parse_object, purpose=Purpose(f"look for single {stream}", PERMISSIONS[stream])
            )
        except NotFound as error:
            if says_missing(error):
                return False
            raise
        return True

    async def _fetch_existing_batch(self, stream: Stream, ids: tuple[str, ...]) -> set[str]:
        purpose = Purpose(f"look for single {stream}", PERMISSIONS[stream])
        together = Purpose(purpose.goal, purpose.permission, dispensable=True)
        found: set[str] = set()
        pending = ids

        async def fetch_rest() -> None:
            nonlocal pending
            async for attempt in repeat_while(is_transient, attempts=_BATCH_ATTEMPTS):
                answer = await self._client.fetch(
                    self._client.make_url("/$batch"),
                    partial(parse_batch, ids=pending, purpose=purpose, clock=self._clock),
                    purpose=together,
                    method="POST",
                    headers={"Content-Type": "application/json"},
                    body=encode_batch(stream, pending),
                    units=len(pending),
                )
                found.update(answer.found)
                if len(answer.pending) < len(pending):
                    self._client.progress.note()
                pending = answer.pending
                if not pending:
                    return
                with attempt:
                    raise Throttled(
                        f"Microsoft Graph left {len(pending)} of {len(ids)} {stream} of a batch unanswered",
                        retry_after=answer.retry_after,
                    )

        await self._client.progress.wait_out(fetch_rest)
        return found


def _make_user_key(name: str) -> str:
    """Return the path of one user; a name that begins with ``$`` is only found as a key in brackets.

    In a path of its own it would be a function or an option (get user, "User principal names that begin with $").
    """
    if not name.startswith("$"):
        return f"users/{quote(name, safe='')}"
    key = name.replace("'", "''")
    return f"users('{quote(key, safe='')}')"
