"""Whether a record of ours passes to another source object: one that wants its BPS id, or a group that was made anew.

=================================================  =====================================================================
the record                                         then
=================================================  =====================================================================
both are the same by proof                         it passes
both people, or more in a circle, change records   it passes: nobody is left, and nobody is new
a person approved it                               it passes
within guard.max_handovers, and not held before    it passes
otherwise                                          it waits; the newcomer is skipped, the former one is a leaver as ever
a person rejected it                               it stays with the former one, and the newcomer is skipped
nothing may be taken away (policy.mode, a doubt)   it stays for now, without a question
=================================================  =====================================================================

Proof of a person is an identifier of the tenant's own that both have. Proof of a group is the same name, a deletion
within the grace, and half of the members. Pure.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Literal

from syncd.model.attributes import IDENTIFIERS
from syncd.model.change import Change, Phase
from syncd.model.kinds import RecordKind
from syncd.model.reason import NO_REASON, Cause, Reason
from syncd.plan.desired import Desired
from syncd.plan.diff import Current, differs
from syncd.plan.words import say

SOURCE = "source_id"
"""Under this name a handover tells by whose source object the record goes, before and after. No field of a record."""

Verdict = Literal["pass", "wait", "rejected", "not now"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Party:
    """A source object that has a record, or wants it. ``state``: what the rules say of it (`Desired`)."""

    key: int
    id: str
    name: str
    state: str
    attributes: Mapping[str, Any]
    removed_at: datetime | None = None
    """When the tenant was seen to have deleted it."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """What says that two source objects are the same, and what says that they are not."""

    proven: bool
    speaks_for: tuple[str, ...] = ()
    against: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """A record of ours that another source object is to have. ``former``: whose it is, as far as that is known.

    ``bound``: the newcomer's own mapping gives another BPS id; it keeps the one of the group that it follows.
    """

    kind: RecordKind
    record: int
    bps_id: str
    former: Party | None
    heir: Party
    desired: Desired
    current: Current
    evidence: Evidence
    bound: bool = False

    @property
    def place(self) -> tuple[RecordKind, int]:
        """Return what it is about."""
        return self.kind, self.record


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """A claim and what becomes of it. ``hold``: why the guard withholds it."""

    claim: Claim
    verdict: Verdict
    cause: Cause
    hold: Reason = NO_REASON
    since: int | None = None
    """The run since which it is held, when that is an earlier one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Decisions:
    """What people and earlier runs have decided about handovers, by kind and record.

    ``held``: with the reason, and the run since which it is. ``begun``: what a run began to swap and did not end, as
    (kind, record, id of the former owner, id of the newcomer); that newcomer has given up the own record.
    ``released``: approved now; None: this run carries out no approval. ``rejected``: by the id of the newcomer.
    """

    held: Mapping[tuple[RecordKind, int], tuple[Reason, int]] = field(default_factory=dict)
    rejected: Collection[tuple[RecordKind, int, str]] = ()
    released: Collection[tuple[RecordKind, int]] | None = None
    begun: Collection[tuple[RecordKind, int, str, str]] = ()


# ---- evidence --------------------------------------------------------------------------------------------------------


def weigh_people(former: Mapping[str, Any], heir: Mapping[str, Any]) -> Evidence:
    """Return what identifiers of the tenant say: one that both have alike is proof, whatever the others say."""
    alike, against = [], []
    for name in IDENTIFIERS:
        one, other = (str(each.get(name) or "").strip() for each in (former, heir))
        if one and one == other:
            alike.append(f"the same {name} ({one})")
        elif one and other:
            against.append(f"another {name} ({one}, and {other})")
        else:
            whom = "neither has" if not one and not other else "only one has"
            against.append(f"{whom} an {name}" if name.startswith(("e", "o")) else f"{whom} a {name}")
    return Evidence(bool(alike), tuple(alike), tuple(against))


def weigh_groups(former: Party, heir: Party, *, members: Sequence[int], now: datetime, grace: timedelta) -> Evidence:
    """Return what speaks for a group that was made anew. ``members``: of the former, of the heir, and of both."""
    before, after, common = members
    same_name = bool(former.name) and former.name.casefold() == heir.name.casefold()
    removed = former.removed_at
    in_time = removed is not None and now - removed <= grace
    half = common > 0 and common * 2 >= max(before, after)
    told = f"{common} members are the same, of {before} before and {after} now"
    deleted = "the former group is not deleted" if removed is None else f"deleted {removed:%Y-%m-%d %H:%M} UTC"
    speaks = ((same_name, "the same name" if same_name else "another name"), (in_time, deleted), (half, told))
    return Evidence(
        same_name and in_time and half,
        tuple(words for good, words in speaks if good),
        tuple(words for good, words in speaks if not good),
    )


def choose_remade(found: Iterable[Claim], shared: Mapping[tuple[int, int], int]) -> list[Claim]:
    """Return, of proven groups made anew, those about which nobody can be mistaken: the best match of both, alone.

    ``shared``: how many members record and newcomer have in common.
    """
    claims = list(found)
    chosen = []
    for claim in claims:
        mine = shared[claim.record, claim.heir.key]
        rivals = [
            shared[other.record, other.heir.key]
            for other in claims
            if other is not claim and (other.record == claim.record or other.heir.key == claim.heir.key)
        ]
        if all(rival < mine for rival in rivals):
            chosen.append(claim)
    return chosen


def find_circles(claims: Sequence[Claim]) -> frozenset[tuple[RecordKind, int]]:
    """Return the records that change hands in a circle, so that each gets one and none is given up: swapped logins."""
    by_heir = {(claim.kind, claim.heir.key): claim for claim in claims if not claim.bound}
    found: set[tuple[RecordKind, int]] = set()
    for claim in by_heir.values():
        way, at = [claim], claim
        while at.former is not None and at.former.state == "wanted":
            following = by_heir.get((claim.kind, at.former.key))
            if following is None or following in way[1:]:
                break
            if following is claim:
                found.update(each.place for each in way)
                break
            way.append(following)
            at = following
    return frozenset(found)


# ---- the decision ----------------------------------------------------------------------------------------------------


def judge(
    claims: Sequence[Claim], decisions: Decisions, *, limit: int | None, allowed: bool
) -> tuple[list[Judged], str]:
    """Return what becomes of each claim, and the limit that was exceeded, in words.

    ``limit``: guard.max_handovers, None for none. ``allowed``: whether anything may be taken from anybody.
    """
    circles = find_circles(claims) | {claim.place for claim in claims if _was_begun(claim, decisions)}
    asked = [claim for claim in claims if not _is_settled(claim, circles, decisions)]
    breach = ""
    if decisions.released is None and limit is not None and len(asked) > limit:
        breach = f"{len(asked)} handover{'s' if len(asked) != 1 else ''}, guard.max_handovers allows {limit}"
    found = []
    for claim in claims:
        cause = _find_cause(claim, circles)
        if not allowed:
            found.append(Judged(claim=claim, verdict="not now", cause=cause))
        elif (*claim.place, claim.heir.id) in decisions.rejected:
            found.append(Judged(claim=claim, verdict="rejected", cause=cause))
        elif _is_settled(claim, circles, decisions):
            found.append(Judged(claim=claim, verdict="pass", cause=cause))
        elif before := decisions.held.get(claim.place):
            found.append(Judged(claim=claim, verdict="wait", cause=cause, hold=before[0], since=before[1]))
        elif breach or decisions.released is not None:
            hold = say(Cause.GUARD, breach=breach) if breach else say(Cause.NOT_APPROVED)
            found.append(Judged(claim=claim, verdict="wait", cause=cause, hold=hold))
        else:
            found.append(Judged(claim=claim, verdict="pass", cause=cause))
    return found, breach


def _was_begun(claim: Claim, decisions: Decisions) -> bool:
    former = None if claim.former is None else claim.former.id
    return (*claim.place, former, claim.heir.id) in decisions.begun


def _is_settled(claim: Claim, circles: Collection[tuple[RecordKind, int]], decisions: Decisions) -> bool:
    """Return whether a claim passes without a question, or is no question any more."""
    rejected = (*claim.place, claim.heir.id) in decisions.rejected
    released = decisions.released is not None and claim.place in decisions.released
    return rejected or released or claim.evidence.proven or claim.place in circles


def _find_cause(claim: Claim, circles: Collection[tuple[RecordKind, int]]) -> Cause:
    if claim.bound:
        return Cause.GROUP_REMADE
    if claim.evidence.proven:
        return Cause.SAME_BY_PROOF
    return Cause.SWAPPED if claim.place in circles else Cause.HANDED_OVER


def make_change(judged: Judged, *, managers: bool) -> Change:
    """Return the change by which the record passes: whose it is, and every value in which the two differ.

    The manager is nobody's to inherit: a record passes without one, and gets its new owner's afterwards.
    """
    claim = judged.claim
    wanted: dict[str, str | None] = dict(claim.desired.fields)
    if managers and claim.kind == "user":
        wanted["manager"] = None
    have = claim.current.fields
    after = {name: value for name, value in sorted(wanted.items()) if differs(name, value, have.get(name))}
    before = {name: have.get(name) for name in after}
    former = None if claim.former is None else claim.former.id
    return Change(
        phase=Phase.HANDOVERS,
        action="handover",
        object=claim.kind,
        bps_id=claim.bps_id,
        source_key=claim.heir.key,
        before={SOURCE: former, **before},
        after={SOURCE: claim.heir.id, **after},
        reason=say_why(judged),
    )


def say_why(judged: Judged) -> Reason:
    """Return why a record passes, or is to pass."""
    claim = judged.claim
    if judged.cause in (Cause.SAME_BY_PROOF, Cause.GROUP_REMADE):
        return say(judged.cause, proof=", ".join(claim.evidence.speaks_for))
    return say(judged.cause)


def say_skipped(judged: Judged) -> Reason:
    """Return why the newcomer is not written."""
    claim = judged.claim
    what = "person" if claim.kind == "user" else "group"
    gone = describe_former(claim.former)
    match judged.verdict:
        case "rejected":
            return say(Cause.HANDOVER_REJECTED, what=what, gone=gone)
        case "not now":
            return say(Cause.HANDOVER_NOT_NOW, what=what, gone=gone)
    return say(Cause.HANDOVER_WAITS, what=what, gone=gone)


def describe_former(former: Party | None) -> str:
    """Return where the former owner of a record is by now."""
    if former is None:
        return "unknown by now"
    if former.state == "deleted" and former.removed_at is not None:
        return f"deleted {former.removed_at:%Y-%m-%d}"
    return {"wanted": "renamed", "out_of_scope": "out of the scope"}.get(former.state, former.state)


def send_fields(change: Change) -> Mapping[str, str | None]:
    """Return what of a change is written to the portal."""
    return {name: value for name, value in change.after.items() if name != SOURCE}


def hand_back(change: Change, *, fields: Mapping[str, str | None], former: int | None) -> Change:
    """Return the reverse of a handover: the record goes back as a whole. ``fields``: as they are now."""
    after = {
        name: value
        for name, value in change.before.items()
        if name != SOURCE and differs(name, value, fields.get(name))
    }
    before = {name: fields.get(name) for name in after}
    return replace(
        change,
        source_key=former,
        before={SOURCE: change.after[SOURCE], **before},
        after={SOURCE: change.before[SOURCE], **after},
        reason=say(Cause.UNDONE),
    )
