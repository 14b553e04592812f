"""Doing again what a portal has lost that went back in time, one last write at a time. Pure.

=====================  ===============================  ===========================================================
was done last          the portal has                   replay plans
=====================  ===============================  ===========================================================
create                 no such record                   the record as it was last written, its manager afterwards
delete                 the record again, nobody's       its deletion
update, adopt          values of before                 those values as they were written
link, unlink           what was before                  the same once more, also for records that it makes anew
grant, revoke          what was before                  the same once more
=====================  ===============================  ===========================================================

What the tenant and the rules say otherwise by now is left to the next run over everybody: nobody is made anew, put into
a group or licensed who is not wanted, and nothing is taken from somebody who is. Everything else in the portal was
changed by somebody, and is left alone.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace

from syncd.model.change import Action, Change, Phase
from syncd.model.reason import Cause
from syncd.plan.diff import differs
from syncd.plan.rules import PolicyRules
from syncd.plan.undo.undo import find_forbidden
from syncd.plan.undo.values import Done, Reverse
from syncd.plan.words import say

_GIVING: tuple[Action, ...] = ("create", "link", "grant")
_UNWANTED = "the tenant or the rules do not want it any more"
_WANTED = "the tenant and the rules want it there by now: the next full run sees to it"


def repeat(
    done: Done,
    policy: PolicyRules,
    *,
    protect: frozenset[str],
    wanted: bool,
    names: Collection[str] = (),
    fields: Mapping[str, str | None] | None = None,
) -> Reverse:
    """Return what does a lost write once more, as the rules permit it.

    ``wanted``: the tenant wants what it is about to be there. ``names``: the fields of an update that are lost.
    ``fields``: the values of a record that is gone, as they were last written.
    """
    change = done.change
    if change.action in _GIVING and not wanted:
        return Reverse(left=_UNWANTED)
    if change.action in ("delete", "unlink") and wanted:
        return Reverse(left=_WANTED)
    found = _repeat(done, names, fields or change.after)
    forbidden = [reason for each in found if (reason := find_forbidden(each, policy, protect=protect))]
    return Reverse(left=forbidden[0]) if forbidden else Reverse(found)


def _repeat(done: Done, names: Collection[str], fields: Mapping[str, str | None]) -> tuple[Change, ...]:
    change, record = done.change, done.record
    reason = say(Cause.LOST_WITH_PORTAL)
    if change.object in ("membership", "ownership", "licence"):
        return (replace(change, reason=reason),)
    if change.action == "create":
        return _make_anew(change, fields) if record is None else ()
    if record is None or (record.origin is None) != (change.action == "delete"):
        return ()
    if change.action == "delete":
        return (replace(change, before=dict(record.fields), after={}, reason=reason),)
    if record.source_key != change.source_key:
        return ()
    made = []
    for phase, some in (
        (Phase.USERS if change.object == "user" else Phase.GROUPS, set(names) - {"manager"}),
        (Phase.MANAGERS, set(names) & {"manager"}),
    ):
        lost = sorted(name for name in some if differs(name, change.after[name], record.fields.get(name)))
        if lost:
            before, after = ({name: of.get(name) for name in lost} for of in (record.fields, change.after))
            made.append(replace(change, phase=phase, action="update", before=before, after=after, reason=reason))
    return tuple(made)


def _make_anew(change: Change, fields: Mapping[str, str | None]) -> tuple[Change, ...]:
    reason = say(Cause.LOST_WITH_PORTAL)
    sent = {name: value for name, value in {**change.after, **fields}.items() if value is not None}
    manager = sent.pop("manager", None)
    made = replace(change, before={}, after=sent, reason=reason)
    if manager is None:
        return (made,)
    late = replace(change, phase=Phase.MANAGERS, action="update", before={"manager": None}, reason=reason)
    return made, replace(late, after={"manager": manager})
