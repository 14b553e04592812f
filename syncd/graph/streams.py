"""The two delta streams: their pages, where they stand, and what a refusal of a link means.

Delta pages must be asked for one at a time per stream; the two streams are independent of each other.
"""

from __future__ import annotations

from collections.abc import Mapping

from yarl import URL

from syncd.clock import Clock
from syncd.errors import ProtocolError, Rejected, ResyncRequired
from syncd.graph.client import GraphClient
from syncd.graph.options import PERMISSIONS
from syncd.graph.permissions import read_claims
from syncd.graph.reader import TenantReader
from syncd.graph.trail import Trail
from syncd.graph.wire.parse import parse_count, parse_page
from syncd.graph.wire.refusals import Purpose, says_dead
from syncd.http import Response
from syncd.model.source import Page, Stream


class Streams(TenantReader):
    """The part of the source that a pull of changes needs. Remembers the links of the present round only."""

    def __init__(self, client: GraphClient, clock: Clock) -> None:
        super().__init__(client, clock)
        self._trails: Mapping[Stream, Trail] = {"users": Trail(), "groups": Trail()}

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
        self._selection.note_values(stream, (item.attributes for item in page.items), first=link is None)
        return page

    async def _fetch_first(self, stream: Stream) -> tuple[URL, Page]:
        async def fetch() -> tuple[URL, Page]:
            url = self._client.make_url(f"/{stream}/delta?$select={self._selection.select_tracked(stream)}")
            return url, await self._fetch_judged(stream, url, carries_link=False)

        return await self._selection.select_offered(stream, fetch)

    async def fetch_latest(self, stream: Stream) -> str:
        """Return a delta link that tells of everything that changes from now on (``$deltatoken=latest``).

        Raises ProtocolError where Graph answers with anything else than the bare link.
        """
        page = await self._selection.select_offered(
            stream, lambda: self._fetch(stream, self._make_latest(stream), carries_link=False, dispensable=True)
        )
        if page.delta_link is None or page.items or page.bad:
            raise ProtocolError(f"Microsoft Graph answered $deltatoken=latest of {stream} with a page of a full round")
        return page.delta_link

    def _make_latest(self, stream: Stream) -> URL:
        return self._client.make_url(
            f"/{stream}/delta?$deltatoken=latest&$select={self._selection.select_tracked(stream)}"
        )

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
            await self._selection.select_offered(
                stream, lambda: self._fetch(stream, self._make_latest(stream), carries_link=False)
            )
            raise ResyncRequired(
                f"{error}; the same query without the link is answered: everything is read again",
                status=error.status,
                code=error.code,
                location=error.location,
            ) from error

    async def _fetch(self, stream: Stream, url: URL, *, carries_link: bool, dispensable: bool = False) -> Page:
        selected = self._selection.selected[stream]

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
            own=self._selection.own[stream],
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

    async def find_unreadable(self, stream: Stream) -> str:
        """Return why what the last full read of a stream showed may not be believed; empty when nothing is known.

        Without its own permission a property reads as if nobody had a value ("Get user", permissions for specific
        scenarios). Only a token that can be looked into, and an answer without any value, tell that.
        """
        if not self._selection.may_hide(stream):
            return ""
        claims = read_claims(await self._client.tokens.fetch())
        if claims is None:
            return ""
        return "; ".join(self._selection.list_lacking(stream, claims.roles))
