"""What a pull could not understand or look into: gathered, and told once a day with a number.

Such trouble lies in the tenant and stays for weeks. One line for each entry in each run would bury everything else.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import structlog

from syncd.clock import Clock

if TYPE_CHECKING:
    from syncd.store.store import Store

EVERY = timedelta(days=1)
_REASONS = 5
"""Reasons that are told apart; the others are one number."""
_EXAMPLES = 3
_OTHER = "other reasons"


@dataclass(slots=True)
class _Kind:
    """One kind of trouble: how often per reason, and some of the objects concerned."""

    reasons: dict[str, int] = field(default_factory=dict)
    examples: list[str] = field(default_factory=list)

    def add(self, reason: str, object_id: str, count: int) -> None:
        known = reason if reason in self.reasons or len(self.reasons) < _REASONS else _OTHER
        self.reasons[known] = self.reasons.get(known, 0) + count
        if object_id and len(self.examples) < _EXAMPLES and object_id not in self.examples:
            self.examples.append(object_id)


class Troubles:
    """Gathers the trouble of one pull. Not reused."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._kinds: dict[tuple[str, str], _Kind] = {}
        self._log = structlog.get_logger("syncd.pull")

    def note(self, event: str, *, about: str, reason: str, object_id: str = "", count: int = 1) -> None:
        """Note trouble of a kind, which is named by its log event and by what it is ``about``.

        A reason that names the object is told without it, so that equal ones are one.
        """
        same = reason.replace(object_id, "…") if object_id else reason
        self._kinds.setdefault((event, about), _Kind()).add(same, object_id, count)

    async def tell(self) -> None:
        """Log each kind that was not told within a day, or that has a reason by now which was not; forget them all."""
        now = self._clock.now()
        for (event, about), kind in sorted(self._kinds.items()):
            subject = f"{event} {about}"
            told = _read(await self._store.notifications.load_last_sent(subject))
            fresh = told.at is None or not timedelta() <= now - told.at < EVERY
            known = set() if fresh else set(told.reasons)
            if not fresh and kind.reasons.keys() <= known | {_OTHER}:
                self._log.debug(event, about=about, count=sum(kind.reasons.values()), reasons=kind.reasons)
                continue
            self._log.warning(
                event,
                about=about,
                count=sum(kind.reasons.values()),
                reasons=dict(sorted(kind.reasons.items(), key=lambda each: -each[1])),
                examples=kind.examples or None,
                next_word_in="24h",
            )
            at = now if fresh or told.at is None else told.at
            document = {"at": at.isoformat(), "reasons": sorted(known | kind.reasons.keys())[: 10 * _REASONS]}
            await self._store.notifications.save_last_sent(subject, json.dumps(document))
        self._kinds.clear()


@dataclass(frozen=True, slots=True)
class _Told:
    at: datetime | None = None
    reasons: tuple[str, ...] = ()


def _read(text: str) -> _Told:
    if not text:
        return _Told()
    document = json.loads(text)
    return _Told(datetime.fromisoformat(document["at"]), tuple(document["reasons"]))
