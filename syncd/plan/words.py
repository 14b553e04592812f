"""Every sentence that lies in the store beside a cause: why something is planned, left out, or does not go on.

This is the only place to reword them, and the place to translate them. Nothing compares them.
"""

from __future__ import annotations

from syncd.model.kinds import RecordKind
from syncd.model.reason import Cause, Reason

SENTENCES: dict[Cause, str] = {
    # Decisions about a source object.
    Cause.DISABLED: "disabled in the tenant (accountEnabled is false)",
    Cause.DELETED: "deleted in the tenant",
    Cause.OUT_OF_SCOPE: "does not meet {rule}",
    Cause.GUEST: 'a guest, and guests are skipped (scope.guests = "skip")',
    Cause.AGENT: 'an account of an agent, and agents are skipped (scope.agents = "skip")',
    Cause.SUBTYPE: 'of the type {kind}, no plain user, and such are skipped (scope.agents = "skip")',
    Cause.NOT_IN_GROUPS: "not in the groups of the scope (scope.include_groups, scope.exclude_groups)",
    Cause.PARTLY_KNOWN: "the tenant has told only part of this {what} so far",
    Cause.UNREADABLE: "what the tenant says of this {what} cannot be understood",
    Cause.RULE_FAILED: "{problem}",
    Cause.NO_BPS_ID: "no usable BPS id from {rule}: {problem}",
    Cause.NO_VALUE: "no {field}: {rule} has no value",
    Cause.PROTECTED: "on the protect list (scope.protect)",
    Cause.USER_COLLISION: "another person maps to the same BPS id, and neither has its record: neither is written",
    Cause.USER_COLLISION_LOST: "another person has the record of this BPS id",
    Cause.GROUP_COLLISION: "another group maps to the same BPS id",
    Cause.HANDOVER_WAITS: (
        "its BPS id is that of another {what} ({gone}): whether the record passes waits for approval ('syncd held')"
    ),
    Cause.HANDOVER_REJECTED: "its BPS id is that of another {what} ({gone}), and that the record passes was rejected",
    Cause.HANDOVER_NOT_NOW: "its BPS id is that of another {what} ({gone}), and nothing may be taken from anybody now",
    # Why a change is planned.
    Cause.RENAMED: "renamed",
    Cause.GROUP_RENAMED: "the group is renamed",
    Cause.GROUP_LEAVES: "the group is {state}",
    Cause.COMPLETES_CREATION: "completes the creation",
    Cause.HANDED_OVER: "the BPS id is wanted by another source object, and nothing proves that both are the same",
    Cause.SAME_BY_PROOF: "the BPS id passes to another source object, which is the same by proof: {proof}",
    Cause.GROUP_REMADE: "the group was made anew, and keeps its BPS group: {proof}",
    Cause.SWAPPED: "renamed: the BPS ids are swapped",
    Cause.AFTER_HANDOVER: "the manager of the new owner",
    Cause.MANAGER_GONE: "the account of the manager passes to somebody else",
    Cause.INHERITED: "given by hand to the former owner of the account",
    Cause.PORTAL_HAD_IT: "the portal had this record before us",
    Cause.RETURNS: "returns to the state before run {run}",
    Cause.RESPELLED: "the portal shows what was written in a spelling of its own",
    Cause.LEFT: "not {what} in the tenant",
    Cause.PUT_IN_BY_HAND: "put in by hand",
    Cause.UNKNOWN_MEMBER: "nobody in the tenant goes by this BPS id",
    Cause.REMOVED_BY_HAND: "removed by hand",
    Cause.TAKEN_BY_HAND: "taken by hand",
    Cause.CHANGED_BY_HAND: "changed by hand",
    Cause.UNWANTED: "{state}",
    Cause.STANDS_IN: "stands in for a leaver",
    Cause.SUBSTITUTION_OVER: "{why}",
    Cause.RULE_GIVES: "a member of {group}",
    Cause.RULE_SETTINGS: "{what}",
    Cause.RULE_GIVES_OTHER: "its rule gives {type} now",
    Cause.NO_RULE: "no licence rule covers this person any more",
    Cause.PRIVILEGE_GIVEN: "a rule gives it to {group}",
    Cause.PRIVILEGE_UNSETTLED: "sent before, and it is not known whether it arrived",
    Cause.PRIVILEGE_OVER: "no rule gives it any more",
    Cause.PRIVILEGE_SWAPPED: "the rules give something else there instead",
    Cause.ACCOUNT_DELETED: "its account is deleted, and the portal would keep the seat",
    Cause.HAND_DELETED: "given by hand; its account is deleted, and the portal would keep the seat",
    Cause.MOVED: "given by hand to the account before the rename",
    Cause.GIVEN_AGAIN: "undone: given by hand to the account before it was deleted",
    Cause.UNDONE: "undone",
    Cause.UNDONE_STILL_WANTED: (
        "undone, although the tenant wants it: the next full run does it again, a delta run once the tenant changes it"
    ),
    Cause.LOST_WITH_PORTAL: "lost when the portal went back in time",
    Cause.GIVES_BACK: "undone: the record is given back",
    # Why a planned change does not go on.
    Cause.GUARD: "{breach}",
    Cause.HELD_BEFORE: "held since run {run} ({breach}), until somebody approves or rejects it",
    Cause.NEXT_WAVE: "its wave comes later: each wave is read back before the next (policy.waves)",
    Cause.QUIET_HOURS: "quiet hours: removals are put off (guard.quiet_hours)",
    Cause.CLOCK: "{doubt}: what hangs on time waits until it is right",
    Cause.PORTAL_BACK: "the portal went back in time: it waits for 'syncd replay'",
    Cause.PAUSED: "paused until {until} ({reason})",
    Cause.REJECTED: "rejected",
    Cause.REJECTED_BEFORE: "rejected before, and its object has not changed since",
    Cause.ADOPTION_REJECTED: "its adoption was rejected: hands off",
    Cause.MOVE_REJECTED: "the new account of a renamed person was rejected: the old one stays as it is",
    Cause.ADOPTION_HELD: "its {what} waits for adoption",
    Cause.FOLLOWS_ADOPTION: "would follow in the run after the adoption, within the guard's limits",
    Cause.PLACES_HELD: "memberships or ownerships that would go with it are held",
    Cause.PLACES_STAY: "memberships or ownerships that would go with it stay: their removal was rejected",
    Cause.HANDOVER_ASKED: "a person is asked whether it passes to another source object",
    Cause.NOT_DUE: "failed before; its next attempt is not due yet",
    Cause.TIED: "{what}",
    Cause.NOT_APPROVED: "not part of what was approved",
    Cause.OVERTAKEN: "refused: {what}",
    Cause.PLANNED_ANEW: "planned anew by run {run}",
    Cause.APPROVED: "approved, and carried out by run {run}",
    Cause.SETTLED_LATER: "a later run found out how it ended",
    Cause.DELETION_STOPPED: "not revoked: the account's deletion does not go on",
    Cause.LICENCES_STAY: "its licences are not revoked yet",
    Cause.PRIVILEGES_STAY: "privileges that rules gave it are not revoked yet, or may be there ('syncd privileges')",
    Cause.MOVES_TOGETHER: "moved only together with the licence of the previous account",
    Cause.MANUAL_STAYS: "the previous account keeps this licence",
    Cause.GIVEN_BY_HAND: "given by hand meanwhile, and it stays so",
    Cause.NO_SEAT: "no licence seat left: {shortage}",
    Cause.KEPT_UNTIL_GIVEN: "kept until the licence that takes its place is given",
    Cause.LICENCES_REFUSED: (
        "licences: some were granted by rules that there are no more, and the portal does not let us see to them: "
        "grant Admin.Licenses.ReadWrite to the API application until they are revoked, or assign them by hand"
    ),
    Cause.LICENCES_PERPETUAL: (
        "licences: the portal has perpetual licensing and assigns licences by itself, so [[licences]] is not "
        "carried out (from WEBCON BPS 2026.1.4 on they are assigned by name there too)"
    ),
    Cause.SUBSTITUTIONS_REFUSED: (
        "the portal does not let us arrange substitutions: grant Admin.Substitutions.ReadWrite to the API application, "
        'or set policy.rename_substitute = false and policy.substitute = "none"'
    ),
    Cause.PRIVILEGES_REFUSED: (
        "privileges wait, for the scope App.Metadata.ReadWrite is missing: grant it to the API application, or remove "
        "the [[privileges]] rules, take by hand what they gave, and keep App.Metadata.Read until a full run has seen "
        "that"
    ),
    Cause.MAY_BE_THERE: "it may be there, by hand or by us, and the portal does not tell: look there ({said})",
    Cause.PLACE_GONE: "the portal has no such place any more",
    Cause.NOT_READY: "{what}",
    Cause.NOT_OURS: "{what}",
    Cause.LEFT_ALONE: "{why}",
    Cause.NOT_APPLIED: "{why}",
    Cause.FOREIGN_RECORD: "{error}",
    Cause.REFUSED: "{error}",
    Cause.MAYBE_DONE: "{error}; whether it took effect is not known, and the next run looks",
    Cause.MAYBE_TAKEN: "{error}; whether it took effect is not known, and the next run looks",
    Cause.INTERCEPTED: "{error}",
}


def say(cause: Cause, **values: object) -> Reason:
    """Return a cause with its sentence; ``values`` fill the sentence and are texts or numbers."""
    sentence = SENTENCES[cause]
    return Reason(cause, sentence.format(**values) if values else sentence)


FROZEN = "what the tenant takes away is taken all the same"
"""What is said of a record whose owner cannot be written."""

TIED: dict[RecordKind, str] = {
    "user": "the account stays: it is in a group on the protect list (scope.protect)",
    "group": "the group stays: somebody on the protect list (scope.protect) is in it",
}
"""Why an account or a group is not deleted: the portal would change what is protected along with it."""

_LEAVING: dict[str, Cause] = {
    "disabled": Cause.DISABLED,
    "deleted": Cause.DELETED,
    "out_of_scope": Cause.OUT_OF_SCOPE,
    "renamed": Cause.RENAMED,
}


def say_leaving(state: str, *, grace: str = "") -> Reason:
    """Return why something of a leaver goes: the state, and for a deletion how long ago the grace began."""
    text = f"{state.replace('_', ' ')}, and the grace has ended ({grace})" if grace else state
    return Reason(_LEAVING.get(state, Cause.UNWANTED), text)
