"""The reverse of changes that were done, one at a time. Pure.

====================  ==================================================================================================
done                  its reverse
====================  ==================================================================================================
create                nothing, unless deleting is asked for: a person may have begun to work with the account
adopt                 the values that adopting overwrote are put back, and the record is not ours any more
update                the values before, field by field, where the field is still as we left it
handover              the record goes back to its former source object, with the values before
delete                a new record with the values of the old one; what hung on the old one does not come back
link, unlink          the membership or ownership is removed, or put back
grant, revoke         see ``undo_licence``; what was given by hand is never taken
substitution          see ``undo_substitution``
grant, revoke of a    taken again, unless somebody gave something by hand there before; given again
privilege
====================  ==================================================================================================

What somebody, or a later run, has changed again is left as it is, and said.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime

from syncd.model.change import Action, Change, ObjectKind, Phase
from syncd.model.reason import Cause
from syncd.plan.diff import changes_allowed, differs
from syncd.plan.handover import SOURCE, hand_back
from syncd.plan.privileges import OURS
from syncd.plan.rules import PolicyRules
from syncd.plan.undo.licence import licence_still_stands, reverse_licence, take
from syncd.plan.undo.privilege import privilege_still_stands, reverse_privilege, take_privilege
from syncd.plan.undo.substitution import reverse_substitution
from syncd.plan.undo.values import Done, Record, Reverse
from syncd.plan.words import say

_REVERSED: Mapping[ObjectKind, Mapping[Action, Phase]] = {
    "membership": {"link": Phase.UNLINKS, "unlink": Phase.LINKS},
    "ownership": {"link": Phase.DISOWNS, "unlink": Phase.OWNERS},
}
_NEVER_EMPTY = ("name", "email")


def reverse(
    done: Done, policy: PolicyRules, *, protect: frozenset[str], delete_created: bool, now: datetime
) -> Reverse:
    """Return the reverse of one change, as the rules permit it."""
    change = done.change
    if change.bps_id.casefold() in protect or change.target.casefold() in protect:
        return Reverse(left="scope.protect names it: hands off")
    found = _reverse(done, delete_created=delete_created, now=now)
    forbidden = {each.action for each in found.changes if not changes_allowed(policy, each.action)}
    if forbidden:
        return Reverse(left=f'policy.mode = "{policy.mode}" forbids to {" and ".join(sorted(forbidden))}')
    return found


def _reverse(done: Done, *, delete_created: bool, now: datetime) -> Reverse:
    change, record = done.change, done.record
    if change.object in _REVERSED:
        return _reverse_link(done)
    if change.object == "licence":
        return reverse_licence(done)
    if change.object == "substitution":
        return reverse_substitution(done, now=now)
    if change.object == "privilege":
        return reverse_privilege(done)
    what = "account" if change.object == "user" else "group"
    if change.action == "delete":
        return _recreate(change, what) if record is None else Reverse(left=f"the {what} is there again")
    if record is None:
        return Reverse(left=f"the {what} is not there any more")
    if change.action == "update" and change.reason.cause is Cause.GIVES_BACK:
        return _adopt_again(change, record)
    if record.origin is None:
        return Reverse(left=f"the {what} is not ours any more")
    if change.action == "adopt":
        return _give_back(change, record)
    if change.action == "handover":
        return _hand_back(done, record, what)
    if change.reason.cause is Cause.AFTER_HANDOVER:
        return Reverse(left="part of the handover: it goes back with the account")
    if change.reason.cause is Cause.COMPLETES_CREATION:
        return Reverse(left=f"part of the creation: it stays or goes with the {what}")
    if change.action == "create":
        return _uncreate(done, record, what, delete_created=delete_created)
    return _restore(change, record)


def _hand_back(done: Done, record: Record, what: str) -> Reverse:
    if record.source_key != done.change.source_key:
        return Reverse(left=f"the {what} belongs to another source object by now")
    if done.former is None:
        return Reverse(left=f"whose {what} it was is not known any more")
    return Reverse((hand_back(done.change, fields=record.fields, former=done.former),))


def _uncreate(done: Done, record: Record, what: str, *, delete_created: bool) -> Reverse:
    """Delete what was created, and take before what the portal would keep: licences, and privileges that rules gave."""
    change = done.change
    if record.source_key != change.source_key:
        return Reverse(left=f"the {what} belongs to another source object by now")
    if record.origin != "created":
        return Reverse(left=f"the {what} was made by somebody else, and adopted since: it stays")
    if not delete_created:
        return Reverse(left=f"the {what} that was created stays: only --delete-created deletes it")
    by_hand = [licence.type for licence in done.licences if not licence.ours]
    if by_hand:
        return Reverse(left=f"the account stays: somebody gave it a licence by hand since ({', '.join(by_hand)})")
    beside = [str(held.privilege) for held in done.privileges if held.state in OURS and not held.surely_ours]
    if beside:
        return Reverse(left=f"the group stays: something by hand is or may be beside {', '.join(beside)}")
    phase = Phase.USER_DELETES if change.object == "user" else Phase.GROUP_DELETES
    deletion = replace(
        change, phase=phase, action="delete", before=dict(record.fields), after={}, reason=say(Cause.UNDONE)
    )
    taken = [take(change, licence, say(Cause.ACCOUNT_DELETED)) for licence in done.licences]
    taken += [take_privilege(change, held) for held in done.privileges if held.state in OURS]
    return Reverse((*taken, deletion))


def _give_back(change: Change, record: Record) -> Reverse:
    """Put back what adopting overwrote. It comes last: until then the record's memberships are ours to correct."""
    restored = {
        name: change.before.get(name)
        for name, value in change.after.items()
        if not differs(name, value, record.fields.get(name)) and _can_be(name, change.before.get(name))
    }
    kept = {name for name in change.after if name not in restored} | (record.written - change.after.keys())
    phase = Phase.USER_DELETES if change.object == "user" else Phase.GROUP_DELETES
    before = {name: record.fields.get(name) for name in restored}
    back = Change(
        phase=phase,
        action="update",
        object=change.object,
        bps_id=change.bps_id,
        target="",
        source_key=record.source_key,
        before=before,
        after=restored,
        reason=say(Cause.GIVES_BACK),
    )
    left = f"changed again since, or never to be empty, and left: {', '.join(sorted(kept))}" if kept else ""
    return Reverse((back,), left)


def _adopt_again(change: Change, record: Record) -> Reverse:
    if record.origin is not None:
        return Reverse(left="it is ours again already")
    after = {name: value for name, value in change.before.items() if value is not None}
    before = {name: record.fields.get(name) for name in after}
    phase = Phase.USERS if change.object == "user" else Phase.GROUPS
    return Reverse(
        (replace(change, phase=phase, action="adopt", before=before, after=after, reason=say(Cause.UNDONE)),)
    )


def _restore(change: Change, record: Record) -> Reverse:
    restored, kept = dict[str, str | None](), set[str]()
    for name, value in change.after.items():
        wanted = change.before.get(name)
        if differs(name, value, record.fields.get(name)) or not _can_be(name, wanted):
            kept.add(name)
        elif differs(name, wanted, value):
            restored[name] = wanted
    left = f"changed again since, or never to be empty, and left: {', '.join(sorted(kept))}" if kept else ""
    if not change.after:
        left = "only its source object changed: that stays"
    found = []
    for phase, names in (
        (Phase.USERS if change.object == "user" else Phase.GROUPS, restored.keys() - {"manager"}),
        (Phase.MANAGERS, restored.keys() & {"manager"}),
    ):
        if names:
            before = {name: record.fields.get(name) for name in sorted(names)}
            after = {name: restored[name] for name in sorted(names)}
            found.append(
                Change(
                    phase=phase,
                    action="update",
                    object=change.object,
                    bps_id=change.bps_id,
                    target="",
                    source_key=record.source_key,
                    before=before,
                    after=after,
                    reason=say(Cause.UNDONE),
                )
            )
    return Reverse(tuple(found), left)


def _recreate(change: Change, what: str) -> Reverse:
    fields = {name: value for name, value in change.before.items() if value is not None}
    manager = fields.pop("manager", None)
    phase = Phase.USERS if change.object == "user" else Phase.GROUPS
    made = [replace(change, phase=phase, action="create", before={}, after=fields, reason=say(Cause.UNDONE))]
    if manager:
        late = replace(
            change, phase=Phase.MANAGERS, action="update", before={"manager": None}, reason=say(Cause.UNDONE)
        )
        made.append(replace(late, after={"manager": manager}))
    left = f"a new {what} is made: what hung on the deleted one (tasks, privileges) does not come back"
    return Reverse(tuple(made), left)


def _reverse_link(done: Done) -> Reverse:
    change, record, phases = done.change, done.record, _REVERSED[done.change.object]
    if record is None and not done.remade:
        return Reverse(left="the group is not there any more")
    if record is not None and record.origin is None:
        return Reverse(left="the group is not ours any more")
    what = "member" if change.object == "membership" else "owner"
    if change.action == "link":
        if not done.linked:
            return Reverse(left=f"no {what} any more")
        return Reverse((replace(change, phase=phases["link"], action="unlink", reason=say(Cause.UNDONE)),))
    if done.linked:
        return Reverse(left=f"{what} again already")
    if not done.member_there:
        return Reverse(left="the account is not there any more")
    return Reverse((replace(change, phase=phases["unlink"], action="link", reason=say(Cause.UNDONE)),))


def still_stands(done: Done) -> bool:
    """Return whether a planned change meets what it was planned for.

    The values before are those of now, and the record is ours, and for the same source object, as it was then.
    """
    change, record = done.change, done.record
    if change.object in _REVERSED:
        reachable = done.remade if record is None else record.origin is not None
        return reachable and done.linked == (change.action == "unlink")
    if change.object == "licence":
        return licence_still_stands(done)
    if change.object == "substitution":
        return record is not None and (done.arranged is None) == (change.action == "create")
    if change.object == "privilege":
        return privilege_still_stands(done)
    if change.action == "create" or record is None:
        return change.action == "create" and record is None
    handed = change.action == "handover"
    if change.action == "delete" and change.reason.cause is Cause.LOST_WITH_PORTAL:
        return record.origin is None  # it came back with the portal, as nobody's
    if (record.origin is None) != (change.action == "adopt"):
        return False
    if record.origin is not None and record.source_key != (done.former if handed else change.source_key):
        return False
    if change.action == "delete" and (record.origin != "created" or any(not each.ours for each in done.licences)):
        return False
    before = {name: value for name, value in change.before.items() if not (handed and name == SOURCE)}
    return not any(differs(name, value, record.fields.get(name)) for name, value in before.items())


def find_forbidden(change: Change, policy: PolicyRules, *, protect: frozenset[str]) -> str:
    """Return which rule forbids a change, empty when none does."""
    if change.bps_id.casefold() in protect or change.target.casefold() in protect:
        return "scope.protect names it: hands off"
    if not changes_allowed(policy, change.action):
        return f'policy.mode = "{policy.mode}" forbids to {change.action}'
    return ""


def _can_be(name: str, value: str | None) -> bool:
    """Return whether the portal lets a field have this value: names and addresses are never empty there."""
    return value is not None or name not in _NEVER_EMPTY
