"""Nothing is done for one person or group until a day: which changes of a plan that means.

It is one of the sieves of `syncd.plan.sieves`, in the stage "write".
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from syncd.model.reason import Cause, Reason
from syncd.plan.selection import Selection, Stop
from syncd.plan.words import say


@dataclass(frozen=True, slots=True, kw_only=True)
class Pause:
    """Nothing is done for one person or group until a moment: its source object and its records, by their keys."""

    source: int | None
    records: frozenset[int]
    until: datetime
    reason: str

    @property
    def why(self) -> Reason:
        """Return why what concerns it does not go on."""
        return say(Cause.PAUSED, until=f"{self.until:%Y-%m-%d %H:%M} UTC", reason=self.reason)


@dataclass(frozen=True, slots=True, kw_only=True)
class Concerned:
    """A planned change by the keys of what it concerns: the record, the member, and the source object that wants it."""

    seq: int
    record: int
    member: int | None
    source: int | None


def stop_paused(rows: Iterable[Concerned], pauses: Sequence[Pause]) -> tuple[Stop, ...]:
    """Put off whatever concerns what is paused, as a record, as a member of a group, or as what wants it.

    What the guard holds stays held: the end of a pause lets nothing through.
    """
    by_pause: dict[int, list[int]] = {}
    for row in rows:
        for number, pause in enumerate(pauses):
            if row.record in pause.records or row.member in pause.records or row.source in {pause.source} - {None}:
                by_pause.setdefault(number, []).append(row.seq)
                break
    return tuple(
        Stop("deferred", pauses[number].why, (Selection(seqs=frozenset(seqs)),)) for number, seqs in by_pause.items()
    )
