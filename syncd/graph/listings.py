"""Reading without delta, many requests at once: where a stream stands now, whole lists, and lists of single objects.

Lists of single objects (a group's members and owners) are read by ``$batch``, twenty in one request: each has its own
answer, its own price and its own Retry-After. A batch is repeated for what it left unanswered until all of it is
answered.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeVar
from urllib.parse import quote

from yarl import URL

from syncd.errors import (
    AuthFailed,
    Forbidden,
    NotFound,
    PageExpired,
    ProtocolError,
    Rejected,
    RemoteError,
    TransientError,
    Unavailable,
)
from syncd.graph.budget import price
from syncd.graph.options import PERMISSIONS
from syncd.graph.reader import TenantReader
from syncd.graph.retry import is_transient, repeat_while
from syncd.graph.wire.batch import BATCH_LIMIT
from syncd.graph.wire.list_pages import Part, encode_batch, parse_ids, parse_parts, parse_references
from syncd.graph.wire.refusals import Purpose, read_error, says_missing, says_page_expired, to_error
from syncd.http import Response, make_error
from syncd.model.listing import IdPage, ListAnswer, ListPage, ListRequest, Relation
from syncd.model.source import Stream

T = TypeVar("T")

_PAGE = 999
_ATTEMPTS = 6
_KINDS: Mapping[Relation, str] = {"memberOf": "group", "ownedObjects": "group", "directReports": "user"}
"""The only type that counts in a list. Members and owners are of any."""


class Listings(TenantReader):
    """The part of the source that a first load needs."""

    async def fetch_list(self, stream: Stream, link: str | None) -> ListPage:
        """Return one page of all users (with managers) or all groups. PageExpired when the link came too late."""

        async def fetch() -> ListPage:
            expand = f"&$expand={self._selection.manager}" if stream == "users" else ""
            path = f"/{stream}?$select={self._selection.select_listed(stream)}{expand}&$top={_PAGE}"
            url, parse = self._resolve(path, link), self._selection.parsers[stream].parse
            return await self._client.fetch(url, parse, purpose=self._make_purpose(stream))

        try:
            if link is not None:
                page = await fetch()
            elif stream == "users":
                page = await self._selection.expand_offered(lambda: self._selection.select_offered(stream, fetch))
            else:
                page = await self._selection.select_offered(stream, fetch)
        except Rejected as error:
            raise _expired_or(error) from error
        self._check(page.next_link, link)
        self._selection.note_values(stream, (each.attributes for each in page.objects), first=link is None)
        return page

    async def fetch_ids(self, stream: Stream, link: str | None) -> IdPage:
        """Return one page of the bare ids of all users or all groups."""
        path = f"/{stream}?$select=id&$top={_PAGE}"
        try:
            page = await self._client.fetch(self._resolve(path, link), parse_ids, purpose=self._make_purpose(stream))
        except Rejected as error:
            raise _expired_or(error) from error
        self._check(page.next_link, link)
        return page

    def note_users(self, count: int) -> None:
        """Learn how many users the tenant has at least: its budget goes by that."""
        self._client.budget.note_users(count)

    @property
    def at_once(self) -> int:
        """How many requests may be under way together: all while the bucket is more than half full."""
        most = self._client.options.concurrency
        return most if self._client.budget.is_roomy else most // 2

    async def fetch_lists(self, requests: Sequence[ListRequest]) -> tuple[ListAnswer, ...]:
        """Read a page of each of up to 20 lists of single objects; the answers stand in the order of the requests.

        Raises RemoteErrors when one of them cannot be read at all.
        """
        if len(requests) > BATCH_LIMIT:
            raise ValueError(f"a batch holds {BATCH_LIMIT} requests, not {len(requests)}")
        answers: dict[ListRequest, ListAnswer] = {}
        await self._client.progress.wait_out(lambda: self._fetch_rest(requests, answers))
        return tuple(answers[request] for request in requests)

    async def _fetch_rest(self, requests: Sequence[ListRequest], answers: dict[ListRequest, ListAnswer]) -> None:
        """Ask for what has no answer yet, until all of it has one."""
        pending = [request for request in requests if request not in answers]
        async for attempt in repeat_while(is_transient, attempts=_ATTEMPTS):
            parts = await self._send_batch(pending)
            left: list[ListRequest] = []
            trouble: TransientError | None = None
            for number, request in enumerate(pending):
                found = self._read_part(request, parts.get(str(number)))
                if isinstance(found, ListAnswer):
                    answers[request] = found
                    self._client.progress.note()
                else:
                    left.append(request)
                    longer = trouble is None or (found.retry_after or 0.0) > (trouble.retry_after or 0.0)
                    trouble = found if longer else trouble
            pending = left
            if trouble is None:
                return
            with attempt:
                raise trouble
        raise AssertionError("unreachable: the last attempt returns or raises")

    async def _send_batch(self, requests: Sequence[ListRequest]) -> dict[str, Part]:
        purpose = Purpose("read many lists at once", PERMISSIONS["groups"], dispensable=True)
        targets = [self._make_relative(request) for request in requests]
        return await self._client.fetch(
            self._client.make_url("/$batch"),
            parse_parts,
            purpose=purpose,
            method="POST",
            headers={"Content-Type": "application/json"},
            body=encode_batch(targets),
            units=sum(map(price, targets)),
        )

    def _make_relative(self, request: ListRequest) -> str:
        if request.link is not None:
            return self._client.find_target(self._client.check_link(request.link))
        kind = "users" if request.owner_is_user else "groups"
        return f"/{kind}/{quote(request.owner_id, safe='')}/{request.relation}?$select=id&$top={_PAGE}"

    def _read_part(self, request: ListRequest, part: Part | None) -> ListAnswer | TransientError:
        """Return what a part of the batch says, or why it must be asked for again."""
        if part is None:
            return Unavailable("Microsoft Graph left out an answer of a batch", retry_after=0.0)
        if part.status == 200:
            only = _KINDS.get(request.relation, "")
            try:
                ids, link, bad = parse_references(bytes(part.body), only=only, owner=request.owner_id)
                self._check(link, request.link)
            except (ProtocolError, Unavailable) as error:
                return Unavailable(f"a part of a batch is unreadable: {error}", status=200)
            return ListAnswer(request=request, ids=ids, next_link=link, bad=bad)
        refusal = self._judge_part(request, part.as_response(self._client.door.confidential))
        match refusal:
            case NotFound() if says_missing(refusal):
                return ListAnswer(request=request, state="missing")
            case Forbidden():
                return ListAnswer(request=request, state="hidden")
            case Rejected() if request.link is not None and says_page_expired(refusal):
                return ListAnswer(request=request, state="expired")
            case Rejected() | NotFound():
                return ListAnswer(request=request, state="refused")
            case AuthFailed():
                return Unavailable(f"the token was refused in a batch: {refusal}", status=401)
            case TransientError():
                if part.status == 429:
                    self._client.budget.hold(refusal.retry_after)
                return refusal
        raise refusal

    def _judge_part(self, request: ListRequest, response: Response) -> RemoteError:
        permission = PERMISSIONS["users" if request.owner_is_user else "groups"]
        purpose = Purpose(f"read {request.relation}", permission, dispensable=True)
        told = read_error(response)
        error = to_error(purpose, self._clock, response, told) or make_error(
            "Microsoft Graph", response, told, self._clock
        )
        error.own = told.own
        return error

    def _make_purpose(self, stream: Stream) -> Purpose:
        selects = tuple(self._selection.select_listed(stream).split(","))
        return Purpose(
            f"list {stream}", PERMISSIONS[stream], selects=selects, dispensable=True, own=self._selection.own[stream]
        )

    def _resolve(self, path: str, link: str | None) -> URL:
        return self._client.make_url(path) if link is None else self._client.check_link(link)

    def _check(self, link: str | None, asked: str | None) -> None:
        """Refuse a next link that leads elsewhere, or back to where it was found."""
        if link is None:
            return
        self._client.check_link(link)
        if link == asked:
            raise ProtocolError("Microsoft Graph sent a page of a list that leads to itself")


def _expired_or(error: Rejected) -> Rejected:
    if not says_page_expired(error):
        return error
    return PageExpired(str(error), status=error.status, code=error.code)
