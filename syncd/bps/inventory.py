"""Reads what the portal has. Writes nothing.

Lists come in pages without a total and without a next link. The portal may give fewer records than were asked for, so
only an empty page is the end.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable

from syncd.bps.answers import NAME, Noun
from syncd.bps.client import BpsClient, make_path
from syncd.bps.records import BadRecords, T, WirePage, parse_group, parse_groups, parse_user, parse_users
from syncd.errors import NotFound, ProtocolError
from syncd.http import Response
from syncd.model.target import Account, GroupDetail, PortalGroup, fold

_STALE_PAGES = 3
"""So many pages in a row that were all sent before mean a portal that ignores the page number."""

_MAX_PAGES = 100_000


class Inventory:
    """The reading half of the portal. ``bad_accounts`` and ``bad_groups`` tell what the last reading had to skip."""

    def __init__(self, client: BpsClient, *, page_size: int) -> None:
        self._client = client
        self._page_size = page_size
        self.bad_accounts = BadRecords()
        self.bad_groups = BadRecords()

    def fetch_accounts(self) -> AsyncIterator[tuple[Account, ...]]:
        """Yield pages of all users; see ``_fetch_pages``."""
        bad = self.bad_accounts = BadRecords()
        return self._fetch_pages("users", lambda response: parse_users(response, bad), lambda record: record.bps_id)

    def fetch_groups(self) -> AsyncIterator[tuple[PortalGroup, ...]]:
        """Yield pages of all groups, without members; see ``_fetch_pages``."""
        bad = self.bad_groups = BadRecords()
        return self._fetch_pages("groups", lambda response: parse_groups(response, bad), lambda record: record.bps_id)

    async def fetch_account(self, bps_id: str) -> Account | None:
        """Read one user; None when the portal shows none."""
        try:
            return parse_user(await self._client.read(make_path("/admin/user", bps_id), noun="users"))
        except NotFound:
            return None

    async def fetch_group(self, bps_id: str) -> GroupDetail | None:
        """Read one group with members and owners; None when the portal shows none."""
        try:
            return parse_group(await self._client.read(make_path("/admin/group", bps_id), noun="groups"))
        except NotFound:
            return None

    async def _fetch_pages(
        self, noun: Noun, parse: Callable[[Response], WirePage[T]], identify: Callable[[T], str]
    ) -> AsyncIterator[tuple[T, ...]]:
        """Yield pages from 0 to the first empty one; a record may come twice when pages shift.

        ProtocolError when page after page was sent before, because the portal ignores or wraps the number.
        """
        sent_before: set[int] = set()
        stale = 0
        for number in range(_MAX_PAGES):
            page = parse(await self._client.read(f"/admin/{noun}?size={self._page_size}&page={number}", noun=noun))
            if page.sent == 0:
                return
            fingerprint = hash(frozenset(fold(identify(record)) for record in page.records))
            stale = stale + 1 if fingerprint in sent_before else 0
            if stale == _STALE_PAGES:
                break
            sent_before.add(fingerprint)
            if page.records:
                yield page.records
        raise ProtocolError(f"{NAME} sends the same {noun} again and again: it seems to ignore the page number")
