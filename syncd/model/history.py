"""Who was where: an end of a time in which somebody had something, and what brought it about."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class Turn(StrEnum):
    """What brought a time about or ended it, beside the causes of changes (`model.reason.Cause`).

    The values lie in the store: none is renamed, and none is given another meaning.
    """

    JOINED = "joined"
    FOUND = "found"
    """The portal had it when syncd first read it."""
    BY_HAND = "by_hand"
    SETTLED = "settled"
    """Our own write, of which no answer came: a later reading showed what had become of it."""
    UNSURE = "unsure"
    """A removal of ours, of which no answer came: it counts as gone until a reading shows it."""
    ACCOUNT_DELETED = "account_deleted"
    GROUP_DELETED = "group_deleted"
    ACCOUNT_GONE = "account_gone"
    """Somebody else removed the account from the portal, and all its places with it."""
    GROUP_GONE = "group_gone"
    CREATED = "created"
    ADOPTED = "adopted"
    BOUND = "bound"
    """By ``syncd link``."""
    HANDOVER = "handover"
    WRITTEN = "written"
    LEAVING = "leaving"
    RETURNED = "returned"
    RELEASED = "released"
    """By ``syncd release``: not ours any more, and untouched in the portal."""
    GIVEN_BACK = "given_back"
    DELETED = "record_deleted"
    GONE = "gone"


@dataclass(frozen=True, slots=True, kw_only=True)
class End:
    """One end of a time. ``at`` None: before the history began. ``run`` None: in no run. ``by``: the run's trigger."""

    at: datetime | None = None
    run: int | None = None
    cause: str = ""
    by: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Time:
    """A time in which somebody had something. ``went`` None: it lasts."""

    came: End
    went: End | None = None

    def covers(self, moment: datetime) -> bool:
        """Return whether it had begun at a moment and was not over."""
        return (self.came.at is None or self.came.at <= moment) and (
            self.went is None or self.went.at is None or self.went.at > moment
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What was asked for: the moment ``end``; or the day from ``start`` to ``end``, which a moment has not."""

    end: datetime
    start: datetime | None = None

    @property
    def first(self) -> datetime:
        """Return the first moment that is meant."""
        return self.end if self.start is None else self.start


@dataclass(frozen=True, slots=True, kw_only=True)
class Links:
    """A membership or ownership at some time, with the BPS ids of both."""

    object: str
    group: str
    member: str
    name: str = ""
    time: Time


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordTime:
    """A time in which a record of ours had one owner and was left for one reason (``leaving_as``), if any."""

    key: int
    bps_id: str
    origin: str
    leaving_as: str = ""
    name: str = ""
    source_id: str = ""
    time: Time


@dataclass(frozen=True, slots=True, kw_only=True)
class LicenceTime:
    """A time in which an account had a licence."""

    bps_id: str
    type: str
    time: Time


def find_last(times: Sequence[RecordTime]) -> RecordTime | None:
    """Return the record that began last, None when there is none."""
    return max(times, key=lambda each: (each.time.came.at is not None, each.time.came.at), default=None)
