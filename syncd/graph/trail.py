"""The links of one round of pages: a way that goes in a circle, or does not end, is noticed."""

from __future__ import annotations

from dataclasses import dataclass, field

from syncd.errors import EmptyPages, EndlessRound

PAGE_CAP = 200_000
"""Pages of one round. 200 objects or 500 links each: far above any tenant, far below endless."""

EMPTY_PAGE_CAP = 5_000
"""Pages without any entry in a row, after which a run ends; single ones are normal (delta query overview)."""


@dataclass(slots=True)
class Trail:
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
