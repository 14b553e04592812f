"""The tenant as a source: delta pages, counts and direct reads. Holds no directory; remembers only the present round.

Delta pages must be asked for one at a time per stream; the two streams are independent of each other.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar
from urllib.parse import quote

import msgspec
from yarl import URL

from syncd.clock import Clock
from syncd.errors import (
    BadQuery,
    EmptyPages,
    EndlessRound,
    Forbidden,
    NotFound,
    NotOffered,
    ProtocolError,
    Rejected,
    ResyncRequired,
    Throttled,
)
from syncd.graph.client import GraphClient
from syncd.graph.listings import MANAGER_ID, Listings
from syncd.graph.lookups import Lookups
from syncd.graph.options import OPTIONAL_ATTRIBUTES, PERMISSIONS, list_attributes, list_relations
from syncd.graph.permissions import HIDDEN_PERMISSION, find_missing, list_own_needs, read_claims
from syncd.graph.retry import is_transient, repeat_while
from syncd.graph.wire.batch import BATCH_LIMIT, encode_batch, parse_batch
from syncd.graph.wire.list_pages import ListParser
from syncd.graph.wire.parse import parse_count, parse_group, parse_members, parse_object, parse_page, parse_user
from syncd.graph.wire.refusals import Purpose, says_dead, says_missing, says_page_expired
from syncd.http import Response
from syncd.model.source import STREAMS, GroupItem, Link, Page, Role, Stream, UserItem
from syncd.plan.moment import StatedTimes

T = TypeVar("T")

PAGE_CAP = 200_000
"""Pages of one round. 200 objects or 500 links each: far above any tenant, far below endless."""

EMPTY_PAGE_CAP = 5_000
"""Pages without any entry in a row, after which a run ends; single ones are normal (delta query overview)."""

_LISTING_ATTEMPTS = 5
_BATCH_ATTEMPTS = 6


@dataclass(slots=True)
class _Trail:
    """The links of one round, so that a circle is noticed. Hashes only: links are long and there may be many."""

    awaited: str | None = None
    seen: set[int] = field(default_factory=set)
    empty_run: int = 0

    def step(self, link: str | None, next_link: str | None, *, empty: bool) -> None:
        """Note that ``link`` led to ``next_link``; EndlessRound when the way does not end."""
        if link is None or link != self.awaited:
            self.seen.clear()
            self.empty_run = 0
        self.awaited = next_link
        if next_link is None:
            self.seen.clear()
            return
        if link is not None:
            self.seen.add(hash(link))
        self.empty_run = self.empty_run + 1 if empty else 0
        if hash(next_link) in self.seen:
            raise EndlessRound("Microsoft Graph sends pages in a circle: a next link came for the second time")
        if len(self.seen) >= PAGE_CAP:
            raise EndlessRound(f"Microsoft Graph sends pages without an end: {len(self.seen)} in this round")
        if self.empty_run >= EMPTY_PAGE_CAP:
            raise EmptyPages(
                f"Microsoft Graph sends pages without an end in sight, the last {self.empty_run} without any entry"
            )


class GraphSource(Lookups, Listings):
    """Reads one tenant through Microsoft Graph; the ``Source`` of the use cases."""

    def __init__(self, client: GraphClient, clock: Clock) -> None:
        self._client = client
        self._clock = clock
        needed = {stream: list_attributes(client.options, stream) for stream in STREAMS}
        self._wanted: Mapping[Stream, tuple[str, ...]] = {
            stream: tuple(sorted({*names, *OPTIONAL_ATTRIBUTES[stream]})) for stream, names in needed.items()
        }
        self._needed: Mapping[Stream, tuple[str, ...]] = needed
        self._selected = dict(self._wanted)
        self._relations: Mapping[Stream, tuple[str, ...]] = {
            "users": list_relations(client.options, "users"),
            "groups": list_relations(client.options, "groups"),
        }
        self._parsers = {stream: ListParser(stream, names) for stream, names in self._selected.items()}
        self._trails: Mapping[Stream, _Trail] = {"users": _Trail(), "groups": _Trail()}
        self._manager = MANAGER_ID
        self._own = {stream: list_own_needs(client.options, stream) for stream in STREAMS}
        self._unshown: dict[Stream, set[str]] = {}
        """Per stream that is read as a whole: the properties with a permission of their own that nobody showed yet."""

    def read_times(self) -> StatedTimes | None:
        """Return which time Graph has stated so far."""
        return self._client.door.times.stated

    def read_traffic(self) -> Mapping[str, int]:
        """Return requests, retries, throttled and bytes_received so far, without those for tokens."""
        traffic = self._client.door.traffic
        return {
            "requests": traffic.requests,
            "retries": traffic.retries,
            "throttled": traffic.throttled,
            "bytes_received": traffic.bytes_received,
        }

    @property
    def tenant(self) -> str:
        """The tenant as the configuration names it, in lower case."""
        return self._client.options.tenant_id.lower()

    async def identify_tenant(self) -> str:
        """Return the tenant id that the token names (claim ``tid``), or where it says nothing the configured name."""
        claims = read_claims(await self._client.tokens.fetch())
        return (claims.tenant if claims is not None else "") or self.tenant

    @property
    def tracks_owners(self) -> bool:
        """Whether the groups stream and its direct reads tell owners."""
        return "owners" in self._relations["groups"]

    def fingerprint(self, stream: Stream) -> str:
        """Return a hash of what a link of this stream means: tenant, client, Graph root, tracked properties.

        What is selected only where Graph knows it counts as selected.
        """
        options = self._client.options
        parts = (
            options.tenant_id.lower(),
            options.client_id.lower(),
            options.base_url.rstrip("/").lower(),
            stream,
            *self._wanted[stream],
            *self._relations[stream],
        )
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()

    def list_selected(self, stream: Stream) -> tuple[str, ...]:
        """Return the attributes that objects of this stream are read with."""
        return self._wanted[stream]

    async def fetch_page(self, stream: Stream, link: str | None) -> Page:
        """Return one page of a stream: the first of a new baseline (``link`` None) or the one that a link names.

        Raises ResyncRequired when the link is dead, only if there was one; BadQuery when it is not the link but what
        the settings select that Graph refuses; EndlessRound for pages without an end, and ProtocolError for links that
        lead elsewhere, which are neither followed nor returned.
        """
        if link is None:
            url, page = await self._fetch_first(stream)
        else:
            url = self._client.check_link(link)
            page = await self._fetch_judged(stream, url, carries_link=True)
        self._trails[stream].step(link or str(url), page.next_link, empty=not (page.items or page.bad))
        self._note_values(stream, (item.attributes for item in page.items), first=link is None)
        return page

    async def _fetch_first(self, stream: Stream) -> tuple[URL, Page]:
        async def fetch() -> tuple[URL, Page]:
            url = self._client.make_url(f"/{stream}/delta?$select={self._select_tracked(stream)}")
            return url, await self._fetch_judged(stream, url, carries_link=False)

        return await self._select_offered(stream, fetch)

    def _note_values(self, stream: Stream, objects: Iterable[Any], *, first: bool) -> None:
        if first:
            self._unshown[stream] = {name for name, _ in self._own[stream]}
        unshown = self._unshown.get(stream)
        for values in objects:
            if not unshown:
                return
            found = values if isinstance(values, Mapping) else msgspec.to_builtins(values)
            unshown -= {name for name in unshown if found.get(name) not in (None, [], {})}

    async def find_unreadable(self, stream: Stream) -> str:
        """Return why what the last full read of a stream showed may not be believed; empty when nothing is known.

        Without its own permission a property reads as if nobody had a value ("Get user", permissions for specific
        scenarios). Only a token that can be looked into, and an answer without any value, tell that.
        """
        unshown = self._unshown.get(stream)
        if not unshown:
            return ""
        claims = read_claims(await self._client.tokens.fetch())
        if claims is None:
            return ""
        lacking = [
            f"nobody shows {name}, and the token lacks {permission}, which it needs: grant it, or take {name} out of "
            "the rules"
            for name, permission in self._own[stream]
            if name in unshown and find_missing(claims.roles, (permission,))
        ]
        return "; ".join(lacking)

    async def fetch_latest(self, stream: Stream) -> str:
        """Return a delta link that tells of everything that changes from now on (``$deltatoken=latest``).

        Raises ProtocolError where Graph answers with anything else than the bare link.
        """
        page = await self._select_offered(
            stream, lambda: self._fetch(stream, self._make_latest(stream), carries_link=False, dispensable=True)
        )
        if page.delta_link is None or page.items or page.bad:
            raise ProtocolError(f"Microsoft Graph answered $deltatoken=latest of {stream} with a page of a full round")
        return page.delta_link

    def _make_latest(self, stream: Stream) -> URL:
        return self._client.make_url(f"/{stream}/delta?$deltatoken=latest&$select={self._select_tracked(stream)}")

    async def _select_offered(self, stream: Stream, fetch: Callable[[], Awaitable[T]]) -> T:
        """Fetch with everything selected; where Graph refuses that, without what it need not know, from then on.

        A refusal that names such a property is taken for one of it, and so is one that names none and comes twice.
        """
        optional = set(self._selected[stream]) - set(self._needed[stream])
        try:
            return await fetch()
        except BadQuery as error:
            if not optional:
                raise
            refused = error
        words = refused.said.lower()
        if not any(name.lower() in words for name in optional):
            if "propert" in words:
                raise refused
            with contextlib.suppress(BadQuery):
                return await fetch()
        everything = self._selected[stream]
        self._set_selected(stream, self._needed[stream])
        try:
            return await fetch()
        except BadQuery:
            self._set_selected(stream, everything)
            raise refused from None

    async def _expand_offered(self, fetch: Callable[[], Awaitable[T]]) -> T:
        """Fetch with no more of managers than their ids; where Graph refuses that, as a whole from then on.

        The page of the manager wants ``$levels`` beside ``$select`` in brackets, and another sentence of it offers that
        for single users only. Without either, an expansion is answered everywhere, and costs more bytes.
        """
        asked = self._manager
        try:
            return await fetch()
        except BadQuery as error:
            words = error.said.lower()
            if asked != MANAGER_ID or any(name.lower() in words for name in self._wanted["users"]):
                raise
            self._manager, refused = "manager", error
        try:
            return await fetch()
        except BadQuery:
            self._manager = MANAGER_ID
            raise refused from None

    def _set_selected(self, stream: Stream, names: tuple[str, ...]) -> None:
        self._selected[stream] = names
        self._parsers[stream] = ListParser(stream, names)

    def _select_tracked(self, stream: Stream) -> str:
        return ",".join((*(quote(name, safe="") for name in self._selected[stream]), *self._relations[stream]))

    def _select_listed(self, stream: Stream) -> str:
        return _select(self._selected[stream])

    async def _fetch_judged(self, stream: Stream, url: URL, *, carries_link: bool) -> Page:
        """Fetch a page; a link that is refused without a clear word is tried once more before it is given up for dead.

        Refusals that pass were seen with delta links, and giving one up costs a full pull. Words that nobody has seen
        may mean the link or what it selects: the same selection without a link tells which of the two is refused.
        """
        try:
            return await self._fetch(stream, url, carries_link=carries_link)
        except ResyncRequired as error:
            if says_dead(error):
                raise
        except Rejected:
            if not carries_link:
                raise
        except ProtocolError as error:
            if carries_link and says_dead(error):  # in an answer with status 200
                raise ResyncRequired(str(error), status=error.status, code=error.code) from error
            raise
        try:
            return await self._fetch(stream, url, carries_link=carries_link)
        except (Rejected, ResyncRequired) as error:
            if says_dead(error):
                raise
            await self._select_offered(
                stream, lambda: self._fetch(stream, self._make_latest(stream), carries_link=False)
            )
            raise ResyncRequired(
                f"{error}; the same query without the link is answered: everything is read again",
                status=error.status,
                code=error.code,
                location=error.location,
            ) from error

    async def _fetch(self, stream: Stream, url: URL, *, carries_link: bool, dispensable: bool = False) -> Page:
        selected = self._selected[stream]

        def parse(response: Response) -> Page:
            page = parse_page(response, stream, selected=selected)
            self._client.check_link(page.next_link or page.delta_link or "")
            return page

        goal = f"read changes of {stream}"
        purpose = Purpose(
            goal,
            PERMISSIONS[stream],
            carries_link=carries_link,
            selects=() if carries_link else selected,
            dispensable=dispensable,
            own=self._own[stream],
        )
        return await self._client.fetch(url, parse, purpose=purpose)

    async def fetch_count(self, stream: Stream) -> int:
        """Return how many objects the tenant says it has. Its index may lag behind recent changes."""
        return await self._client.fetch(
            self._client.make_url(f"/{stream}/$count"),
            parse_count,
            purpose=Purpose(f"count {stream}", PERMISSIONS[stream]),
            headers={"ConsistencyLevel": "eventual", "Accept": "text/plain, application/json;q=0.5"},
        )

    async def fetch_user(self, user_id: str) -> UserItem | None:
        """Read one active user with everything selected and the manager; None when Graph says there is none.

        All selected properties are stated (None: empty), and so is the manager: this is a whole, not a change.
        """

        async def fetch() -> UserItem:
            selected = self._selected["users"]
            return await self._client.fetch(
                self._client.make_url(
                    f"/{_make_user_key(user_id)}?$select={_select(selected)}&$expand={self._manager}"
                ),
                partial(parse_user, selected=selected),
                purpose=Purpose(
                    "read a user", PERMISSIONS["users"], selects=self._selected["users"], own=self._own["users"]
                ),
            )

        try:
            return await self._expand_offered(lambda: self._select_offered("users", fetch))
        except NotFound as error:
            if says_missing(error):
                return None
            raise

    async def fetch_group(self, group_id: str) -> GroupItem | None:
        """Read one active group with everything selected, without members; None when Graph says there is none."""
        selected = self._selected["groups"]
        url = self._client.make_url(f"/groups/{quote(group_id, safe='')}?$select={_select(selected)}")
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
        trail = _Trail()
        found: dict[str, Link] = {}
        while url is not None:
            links, next_link = await self._client.fetch(url, parse_members, purpose=purpose)
            found.update((link.member_id, link) for link in links if not link.removed)
            trail.step(str(url), next_link, empty=not links)
            url = None if next_link is None else self._client.check_link(next_link)
        return tuple(found.values())


def _make_user_key(name: str) -> str:
    """Return the path of one user; a name that begins with ``$`` is only found as a key in brackets.

    In a path of its own it would be a function or an option (get user, "User principal names that begin with $").
    """
    if not name.startswith("$"):
        return f"users/{quote(name, safe='')}"
    key = name.replace("'", "''")
    return f"users('{quote(key, safe='')}')"


def _select(names: Sequence[str]) -> str:
    return ",".join(("id", *(quote(name, safe="") for name in names)))
