"""A list of several pages, read twice: where both readings stand, and when the second one may go on.

Pages may shift while they are read: when somebody leaves who stood on an earlier page, who stood first on the next one
moves to a page that was read already, and is not met. It happens at the end of the page that was read last, between
that answer and the next one. The second reading therefore asks for no page that could end where the first one has not
passed by yet: what one departure hides from the first reading, it does not hide from the second. A second reading after
the end of the first one promises the same, and takes twice as long where each page is waited for.

=======================================  =============================================================================
what happens                             the second reading
=======================================  =============================================================================
the first page is the last               there is none
the first is two pages ahead, or done    asks for its next page
it came too far, by pages that grew      begins anew, and keeps more distance
the first begins anew                    begins anew behind it
=======================================  =============================================================================
"""

from __future__ import annotations

from dataclasses import dataclass, field

from syncd.errors import EndlessRound

_MOST_PAGES = 20_000
_PAGES_BEHIND = 2
"""One would do if each page told how many entries the tenant counted on it: some are left out of what we read."""


@dataclass(slots=True, kw_only=True)
class Reading:
    """One reading of a list, page by page: where it goes on, and where it has been.

    ``place``: how many entries its pages had up to here. ``stale``: its request under way belongs to nothing any more.
    """

    link: str | None = None
    running: bool = False
    stale: bool = False
    done: bool = False
    pages: int = 0
    beginnings: int = 1
    place: int = 0
    seen: set[int] = field(default_factory=set)

    def step(self, entries: int, next_link: str | None) -> None:
        """Go on; EndlessRound when the way does not end."""
        self.running = False
        self.pages += 1
        self.place += entries
        self.link = next_link
        if next_link is None:
            self.done = True
            return
        if hash(next_link) in self.seen or self.pages >= _MOST_PAGES:
            raise EndlessRound(f"Microsoft Graph sends pages of a list without an end ({self.pages} so far)")
        self.seen.add(hash(next_link))

    def begin(self) -> None:
        """Go back to the start; an answer that is still under way counts no more."""
        self.stale = self.running
        self.link, self.pages, self.place, self.done = None, 0, 0, False
        self.seen.clear()


@dataclass(slots=True)
class TwoReadings:
    """Both readings of one list."""

    first: Reading = field(default_factory=Reading)
    second: Reading = field(default_factory=Reading)
    largest: int = 1

    @property
    def done(self) -> bool:
        """Whether the list was read as often as it has to be."""
        return self.first.done and (self.second.done or self.first.pages <= 1)

    @property
    def first_is_due(self) -> bool:
        """Whether the first reading wants its next page."""
        return not (self.first.running or self.first.done)

    @property
    def second_is_due(self) -> bool:
        """Whether the second reading wants its next page, and may have it."""
        if self.second.running or self.second.done:
            return False
        if self.first.done:
            return self.first.pages > 1
        return self.second.place + _PAGES_BEHIND * self.largest <= self.first.place

    def step(self, entries: int, next_link: str | None, *, again: bool) -> None:
        """Note a page, of the second reading when ``again``; EndlessRound when the way does not end."""
        self.largest = max(self.largest, entries)
        if not again:
            self.first.step(entries, next_link)
        elif self.second.stale:
            self.second.stale = self.second.running = False
        else:
            self.second.step(entries, next_link)
            if not self.first.done and self.second.place >= self.first.place:
                self.second.begin()

    def begin_anew(self, *, again: bool) -> int:
        """Read from the start, since a link came too late; return how often that reading has begun."""
        reading = self.second if again else self.first
        reading.running = False
        if again and reading.stale:
            reading.stale = False
            return reading.beginnings
        reading.beginnings += 1
        reading.begin()
        if not again:
            self.second.begin()
        return reading.beginnings
