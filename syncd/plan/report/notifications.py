"""What is worth telling an administrator who is not looking: which message a run or a credential calls for, if any.

What was told is remembered as one line of text, so that a state that lasts is told once, also across processes.

====================  ==============================  ===========================================
told before           the run                         then
====================  ==============================  ===========================================
anything but failed   failed                          failed
failed                failed                          nothing
failed                went through to its end         recovered, and held if it holds something
anything              withholds kinds not told yet    held
anything              was interrupted, or only a plan nothing, and what was told stands
====================  ==============================  ===========================================
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from syncd.model.run import RunRecord
from syncd.plan.daily import Allowance, describe_allowances

Event = Literal["failed", "held", "recovered", "expiring"]
FAILED = "failed"
_HELD = "held "
_SOURCE = "source"
"""Stands for a run that is held as a whole, because a stream read empty."""
_STAGES = (30, 7, 1, 0)
"""So many days before its end, and at its end, the end of a credential is told."""


@dataclass(frozen=True, slots=True)
class Notification:
    """One message: a sentence for people and the same as fields. Nothing in it names a person or holds a secret."""

    event: Event
    text: str
    fields: Mapping[str, object] = field(default_factory=dict)


def notify_about_run(
    record: RunRecord,
    held: Mapping[str, int],
    told: str,
    *,
    error: str,
    since: datetime | None = None,
    allowances: Sequence[Allowance] = (),
) -> tuple[tuple[Notification, ...], str]:
    """Return the messages that a closed run calls for, and what counts as told once they are delivered.

    ``held``: what the run withholds, by action, and ``since`` when the oldest of it. ``error``: its error, fit to be
    shown to anybody. ``allowances``: what the last 24 hours took away, and how much of it a day allows.
    """
    if record.kind == "plan" or record.status in ("interrupted", "running"):
        return (), told
    fields: dict[str, object] = {
        "run": record.id,
        "kind": record.kind,
        "trigger": record.trigger,
        "status": record.status,
        "error": error or None,
    }
    run = f"run {record.id} ({record.kind}, {record.trigger})"
    if record.status == "failed":
        if told == FAILED:
            return (), told
        text = f"syncd: {run} failed: {error or 'no reason is known'}. This is told once, until a run goes through."
        return (Notification("failed", text, fields),), FAILED
    news: list[Notification] = []
    if told == FAILED:
        news.append(Notification("recovered", f"syncd: {run} went through again ({record.status}).", fields))
    kinds = sorted(held) or ([_SOURCE] if record.status == "held" else [])
    if set(kinds) - set(told.removeprefix(_HELD).split() if told.startswith(_HELD) else ()):
        numbers = ", ".join(f"{action} {number:,}" for action, number in sorted(held.items()))
        day = "".join(f" {line[0].upper()}{line[1:]}." for line in describe_allowances(allowances))
        when = "" if since is None else f", the oldest since {since:%Y-%m-%d %H:%M} UTC"
        text = (
            f"syncd: {run} holds back {numbers or 'everything that is missing in the tenant'}{when}: {error}.{day} "
            f"'syncd held' lists it, 'syncd approve {record.id}' lets it through, 'syncd reject {record.id}' drops it."
        )
        told_now: dict[str, object] = {
            "held": dict(sorted(held.items())),
            "held_since": None if since is None else since.isoformat(),
            "allowances": [
                {"action": each.action, "object": each.object, "used": each.used, "allowed": each.allowed}
                for each in allowances
            ],
        }
        news.append(Notification("held", text, {**fields, **told_now}))
    return tuple(news), _HELD + " ".join(kinds) if kinds else ""


def notify_about_unrecorded(error: str) -> Notification:
    """Return the message for a run that could not even be recorded."""
    text = f"syncd: no run can be carried out or recorded: {error}. This is told once, until a run goes through."
    return Notification("failed", text, {"status": "failed", "error": error})


def notify_about_credential(
    setting: str, expires_at: datetime, *, now: datetime, told: str
) -> tuple[Notification | None, str]:
    """Return the message about a credential that ends soon, and what counts as told: once per stage and end."""
    left = expires_at - now
    stage = min((days for days in _STAGES if left.total_seconds() <= days * 86_400), default=None)
    if stage is None:
        return None, told
    mark = f"{setting} {expires_at.isoformat()} {stage}"
    if mark == told:
        return None, told
    end = f"{expires_at:%Y-%m-%d %H:%M} UTC"
    when = f"ended at {end}" if stage == 0 else f"ends in {left.days} days, at {end}"
    text = f"syncd: the credential of {setting} {when}. Register a new one, then replace the file."
    fields = {"setting": setting, "expires_at": expires_at.isoformat(), "days_left": left.days}
    return Notification("expiring", text, fields), mark
