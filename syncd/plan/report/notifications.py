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

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field
from datetime import datetime

from syncd.model.credential import tell_days
from syncd.model.event import Event
from syncd.model.numbers import tell_number
from syncd.model.run import HELD_FOR, RunRecord
from syncd.plan.daily import Allowance, describe_allowances

FAILED = "failed"
_HELD = "held "
_SOURCE = "source"
"""Stands for a run that is held as a whole, because a stream read empty."""
KEEPS_FAILING = 3
"""After so many attempts in vain an object keeps failing."""
_PROBLEMS_TOLD = 20
"""So many problems of a refused configuration a message has; it tells how many there are."""
_STAGES = (30, 14, 7, 1, 0)
"""So many days before its end, and at its end, the end of a credential is told."""


@dataclass(frozen=True, slots=True)
class Notification:
    """One message: a subject and a text for people, and the same as fields. Nobody is named, and no secret is in it."""

    event: Event
    _: KW_ONLY
    subject: str
    text: str
    fields: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Failing:
    """One object whose writing failed again and again. ``key`` tells it from others, ``cause``: of what kind."""

    key: str
    object: str
    cause: str
    since: datetime


def notify_about_run(
    record: RunRecord,
    held: Mapping[tuple[str, str], int],
    told: str,
    *,
    error: str,
    since: datetime | None = None,
    allowances: Sequence[Allowance] = (),
) -> tuple[tuple[Notification, ...], str]:
    """Return the messages that a closed run calls for, and what counts as told once they are delivered.

    ``held``: what the run withholds, by action and object, and ``since`` when the oldest of it. ``error``: its error,
    fit to be shown to anybody. ``allowances``: what the last 24 hours took away, and how much of it a day allows.
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
        return (Notification("failed", subject=f"{run} failed", text=text, fields=fields),), FAILED
    news: list[Notification] = []
    if told == FAILED:
        text = f"syncd: {run} went through again ({record.status})."
        news.append(Notification("recovered", subject="runs go through again", text=text, fields=fields))
    kinds = sorted(f"{action}-{what}" for action, what in held) or ([_SOURCE] if record.status == "held" else [])
    if set(kinds) - set(told.removeprefix(_HELD).split() if told.startswith(_HELD) else ()):
        numbers = ", ".join(f"{action} {what} {number:,}" for (action, what), number in sorted(held.items()))
        actions = Counter[str]()
        for (action, _what), number in held.items():
            actions[action] += number
        day = "".join(f" {line[0].upper()}{line[1:]}." for line in describe_allowances(allowances))
        when = "" if since is None else f", the oldest since {since:%Y-%m-%d %H:%M} UTC"
        ends_at = None if record.finished_at is None else record.finished_at + HELD_FOR
        until = "" if ends_at is None else f" until {ends_at:%Y-%m-%d %H:%M} UTC"
        text = (
            f"syncd: {run} holds back {numbers or 'everything that is missing in the tenant'}{when}: {error}.{day} "
            f"'syncd held' lists it, 'syncd approve {record.id}' lets it through{until}, 'syncd reject {record.id}' "
            "drops it."
        )
        told_now: dict[str, object] = {
            "held": dict(sorted(actions.items())),
            "held_objects": {f"{action} {what}": number for (action, what), number in sorted(held.items())},
            "held_since": None if since is None else since.isoformat(),
            "expires_at": None if ends_at is None else ends_at.isoformat(),
            "commands": ["syncd held", f"syncd approve {record.id}", f"syncd reject {record.id}"],
            "allowances": [
                {"action": each.action, "object": each.object, "used": each.used, "allowed": each.allowed}
                for each in allowances
            ],
        }
        waiting = tell_number(sum(held.values()), "change waits", "changes wait")
        what = f"{waiting} for a decision" if held else "an emptied list waits for a decision"
        news.append(Notification("held", subject=f"{what} (run {record.id})", text=text, fields={**fields, **told_now}))
    return tuple(news), _HELD + " ".join(kinds) if kinds else ""


def notify_about_unrecorded(error: str) -> Notification:
    """Return the message for a run that could not even be recorded."""
    text = f"syncd: no run can be carried out or recorded: {error}. This is told once, until a run goes through."
    return Notification(
        "failed", subject="no run can be recorded", text=text, fields={"status": "failed", "error": error}
    )


def notify_about_credential(
    setting: str, expires_at: datetime, *, now: datetime, told: str
) -> tuple[Notification | None, str]:
    """Return the message about a credential that ends soon, or has ended, and what counts as told.

    It is told once per stage and end.
    """
    left = expires_at - now
    stage = min((days for days in _STAGES if left.total_seconds() <= days * 86_400), default=None)
    if stage is None:
        return None, told
    mark = f"{setting} {expires_at.isoformat()} {stage}"
    if mark == told:
        return None, told
    end = f"{expires_at:%Y-%m-%d %H:%M} UTC"
    when = f"ended at {end}" if stage == 0 else f"ends in {tell_days(left)}, at {end}"
    text = f"syncd: the credential of {setting} {when}. Register a new one, then put it in the place of the old one."
    fields = {"setting": setting, "expires_at": expires_at.isoformat(), "days_left": left.days}
    return Notification("expiring", subject=f"the credential of {setting} {when}", text=text, fields=fields), mark


def notify_about_failing(failing: Sequence[Failing], told: str) -> tuple[Notification | None, str]:
    """Return the message about objects that keep failing, and what counts as told: each once, until it is solved."""
    known, now = set(told.split()), {each.key for each in failing}
    fresh = [each for each in failing if each.key not in known]
    mark = " ".join(sorted(now))
    if not fresh:
        return None, mark
    objects, causes = Counter(each.object for each in failing), Counter(each.cause or "refused" for each in failing)
    numbers = ", ".join(f"{kind} {number:,}" for kind, number in sorted(objects.items()))
    began = min(each.since for each in failing)
    more = f", {len(fresh):,} of them new" if len(fresh) < len(failing) else ""
    text = (
        f"syncd: {numbers} keep failing{more}, the oldest since {began:%Y-%m-%d %H:%M} UTC. They are tried again, less "
        "and less often. 'syncd users --state failing' and 'syncd groups --state failing' tell why."
    )
    fields: dict[str, object] = {
        "failing": dict(sorted(objects.items())),
        "causes": dict(sorted(causes.items())),
        "failing_since": began.isoformat(),
        "commands": ["syncd users --state failing", "syncd groups --state failing"],
    }
    subject = f"{tell_number(len(failing), 'object keeps', 'objects keep')} failing"
    return Notification("failing", subject=subject, text=text, fields=fields), mark


def notify_about_refusal(problems: Sequence[str], where: str, told: str) -> tuple[Notification | None, str]:
    """Return the message about a changed configuration that was refused, and what counts as told: each refusal once.

    No problems: it was accepted, and the next refusal is news again.
    """
    if not problems:
        return None, ""
    mark = hashlib.sha256("\n".join(problems).encode()).hexdigest()
    if mark == told:
        return None, told
    number = f"{len(problems)} problem{'' if len(problems) == 1 else 's'}"
    text = (
        f"syncd: a changed configuration was refused for {number}, and the one before stays in force. The first: "
        f"{problems[0]}. 'syncd check' tells all; correct them, then send SIGHUP again."
    )
    fields: dict[str, object] = {"problems": list(problems[:_PROBLEMS_TOLD]), "problem_count": len(problems)}
    if where:
        fields["where"] = where
    return Notification(
        "refused_configuration", subject=f"a changed configuration was refused: {number}", text=text, fields=fields
    ), mark
