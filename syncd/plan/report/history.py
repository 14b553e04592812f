"""Who was where, in words: what was asked for, and why somebody came or went."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime, time, timedelta, tzinfo

from syncd.model.history import Asked, End, Turn
from syncd.model.reason import Cause

WAYS_OUT = "write a day (2026-03-01) or a moment (2026-03-01T14:30, or with an offset such as +01:00 or Z)"

_CAME: Mapping[str, str] = {
    Turn.JOINED: "joined",
    Turn.FOUND: "there when first read",
    Turn.BY_HAND: "put in by hand",
    Turn.SETTLED: "our write, seen later",
    Cause.RENAMED: "rename",
    Cause.GROUP_RENAMED: "rename of the group",
    Cause.REMOVED_BY_HAND: "put back after a removal by hand",
    Cause.UNDONE: "undo",
    Cause.UNDONE_STILL_WANTED: "undo",
    Cause.RETURNS: "put back",
    Cause.RULE_GIVES: "given by a rule",
    Cause.RULE_GIVES_OTHER: "given by another rule",
    Cause.MOVED: "moved after a rename",
    Cause.GIVEN_AGAIN: "given again",
    Turn.CREATED: "created",
    Turn.ADOPTED: "adopted",
    Turn.BOUND: "bound by hand (syncd link)",
    Turn.HANDOVER: "handover",
    Turn.WRITTEN: "written",
    Turn.LEAVING: "left",
    Turn.RETURNED: "came back",
    Turn.GIVEN_BACK: "undo",
}
_WENT: Mapping[str, str] = {
    Cause.LEFT: "not in it in the tenant",
    Turn.BY_HAND: "taken out by hand",
    Turn.SETTLED: "our removal, seen later",
    Turn.UNSURE: "our removal, without an answer",
    Cause.DISABLED: "leaver: disabled",
    Cause.DELETED: "leaver: deleted",
    Cause.OUT_OF_SCOPE: "leaver: out of scope",
    Cause.UNWANTED: "leaver",
    Cause.RENAMED: "rename",
    Cause.GROUP_RENAMED: "rename of the group",
    Cause.GROUP_LEAVES: "group emptied",
    Cause.PUT_IN_BY_HAND: "had been put in by hand",
    Cause.UNKNOWN_MEMBER: "unknown in the tenant",
    Cause.UNDONE: "undo",
    Cause.UNDONE_STILL_WANTED: "undo",
    Cause.RETURNS: "set back to an earlier state",
    Cause.NO_RULE: "no rule gives it",
    Cause.RULE_GIVES_OTHER: "its rule gives another one",
    Cause.ACCOUNT_DELETED: "account deleted",
    Cause.HAND_DELETED: "account deleted",
    Turn.GROUP_DELETED: "group deleted",
    Turn.ACCOUNT_GONE: "account removed by hand",
    Turn.GROUP_GONE: "group removed by hand",
    Turn.HANDOVER: "handover",
    Turn.RELEASED: "let go of (syncd release)",
    Turn.GIVEN_BACK: "given back (undo)",
    Turn.DELETED: "deleted",
    Turn.GONE: "removed by hand",
    Turn.LEAVING: "left",
    Turn.RETURNED: "came back",
}


def parse_asked(text: str, *, zone: tzinfo, now: datetime) -> Asked:
    """Return what a text asks for; a day in ``zone`` goes up to its end, or to now. ValueError says what is wrong."""
    written = text.strip()
    try:
        day = date.fromisoformat(written)
    except ValueError:
        return Asked(end=_parse_moment(written, zone, now))
    start = datetime.combine(day, time(), zone).astimezone(UTC)
    if start > now:
        raise ValueError(f"{written} is in the future: nobody knows yet who will be where")
    end = datetime.combine(day + timedelta(days=1), time(), zone).astimezone(UTC) - timedelta(microseconds=1)
    return Asked(start=start, end=min(end, now))


def _parse_moment(written: str, zone: tzinfo, now: datetime) -> datetime:
    try:
        moment = datetime.fromisoformat(written)
    except ValueError:
        raise ValueError(f"'{written}' is no date: {WAYS_OUT}") from None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=zone)
    moment = moment.astimezone(UTC)
    if moment > now:
        raise ValueError(f"{written} is in the future: nobody knows yet who will be where")
    return moment


def check_known(asked: Asked, *, since: datetime, kept: timedelta, now: datetime, zone: tzinfo) -> None:
    """Raise ValueError for a date of which the store does not know everything (any more)."""
    if asked.end < since:
        raise ValueError(
            f"the history of this store begins at {say_moment(since, zone)}: nobody noted before who was where"
        )
    oldest = now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0) - kept
    if asked.first < oldest:
        raise ValueError(
            f"the history is kept for {kept.days} days (store.keep_history), since {say_moment(oldest, zone)}"
        )


def say_moment(moment: datetime, zone: tzinfo) -> str:
    """Return a moment to the minute, in the time of the settings."""
    return f"{moment.astimezone(zone):%Y-%m-%d %H:%M}"


def say_cause(end: End, *, came: bool) -> str:
    """Return why somebody came or went, with the approval or the command that it took, if any."""
    words = _CAME if came else _WENT
    said = words.get(end.cause) or end.cause.replace("_", " ") or ("" if came else "left")
    return f"{said}, approved" if end.by == "approval" and said else said


def say_end(end: End | None, zone: tzinfo, *, came: bool, since: datetime) -> str:
    """Return one end of a time: when, by which run, and why. ``since``: when the history began."""
    if end is None:
        return ""
    if end.at is None:
        return f"before {say_moment(since, zone)}"
    run = f" run {end.run}" if end.run else ""
    return f"{say_moment(end.at, zone)}{run}: {say_cause(end, came=came)}"
