"""What ``syncd privileges`` says of each rule, and of what no rule gives: what is known, and what is not. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from syncd.model.privilege import Privilege, read_privilege
from syncd.model.reason import Cause
from syncd.plan.membership import GroupView
from syncd.plan.privileges import GONE, Allowed, HeldPrivilege, decide_privileges
from syncd.plan.rules import Rules
from syncd.plan.words import say

LineState = Literal[
    "given", "beside", "unknown", "missing", "taken", "waiting", "gone", "kept", "leaving", "by_hand", "foreign"
]

GrantedState = Literal["given", "beside", "unknown"]

DETAILS: Mapping[LineState, str] = {
    "given": "given by us; whether somebody changed the level since, the portal does not tell",
    "beside": "given by us, and something by hand is or may be there, perhaps the very same: no rule takes it any more",
    "unknown": "the portal refused it as a conflict, or its answer was lost: it may be there, by us or by hand: no "
    "rule takes it",
    "missing": "the next run gives it",
    "taken": "somebody took it",
    "waiting": "",
    "gone": "the portal has no such place any more: nothing is done there",
    "kept": "no rule gives it any more, and it may be there, by hand or by us: look in the portal, and take it there",
    "leaving": "no rule gives it any more: the next run takes it",
    "by_hand": "something was given by hand; which level and for which company, the portal does not tell",
    "foreign": "a person, or a group that is not ours, has something there; which level, the portal does not tell",
}


LEFT_BEHIND = (
    "the group is not in the portal any more, and the portal may keep this for the next one with its BPS id: look "
    "there, and take it"
)

SWAPPED_LATER = "no rule gives it any more: it is taken once what rules give there now is given"

NOT_OURS = "no rule gives it any more, and no run takes it: the portal's record is not ours. Take it in the portal"


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One privilege of one group. ``rule``: the place of the rule that gives it; None: none does."""

    rule: int | None
    bps_id: str
    privilege: Privilege | None
    place: str
    state: LineState
    detail: str


def list_lines(
    view: Allowed,
    rules: Rules,
    *,
    places: Mapping[str, tuple[str, str]],
    named: Collection[str],
    titles: Mapping[str, str],
    refused: bool = False,
    failing: Mapping[str, str] | None = None,
) -> Iterator[Line]:
    """Yield the lines of one group.

    ``places``: the state of each place by its token, and why. ``named``: places at which the last reading names the
    group. ``titles``: what people call the places. ``refused``: the portal does not let us give or take anything.
    ``failing``: why the last attempt to give or take something failed, by the token of the privilege.
    """
    failing = failing or {}
    held = {each.privilege.token: each for each in view.held}
    wanted = {each.privilege.token: each for each in view.wanted if view.group.state == "wanted"}
    changes = decide_privileges(view, rules, adoption_held=())
    due = {read_privilege(change.after or change.before).token for change in changes}
    if rules.policy.mode == "plan_only" or (rules.policy.mode == "create_only" and view.group.exists):
        due.clear()
    scope = say(Cause.PRIVILEGES_REFUSED).text if refused else ""
    blocked = set[str]()
    for token, each in wanted.items():
        state, why = _judge(held.get(token), places.get(each.privilege.place.token), exists=view.group.exists)
        if state == "missing" and token not in due:
            state, why = "waiting", _find_obstacle(view.group, rules)
        elif state == "missing" and scope:
            state, why = "waiting", scope
        elif state == "taken":
            why = f"{DETAILS['taken']}; {'the next run gives it again' if token in due else 'it stays away'}"
            why += " (policy.drift)"
        if token in due and not scope and state in ("missing", "taken", "unknown") and token in failing:
            blocked.add(each.privilege.place.token)
            failed = _tell_failed(failing[token])
            why = failed if state == "missing" else f"{why or DETAILS[state]}; {failed}"
        yield _make(view, each.rule, each.privilege, state, why)
    for token, one in held.items():
        if token not in wanted and one.state not in GONE:
            same = any(one.privilege.may_be(each.privilege) for each in wanted.values())
            seen = places.get(one.privilege.place.token)
            group = view.group
            state, why = _judge_rest(one, seen, due=token in due, same=same, exists=group.exists, owned=group.owned)
            if state == "leaving":
                later = SWAPPED_LATER if one.privilege.place.token in blocked else ""
                why = scope or (_tell_failed(failing[token]) if token in failing else later)
            yield _make(view, None, one.privilege, state, why)
    ours = {each.privilege.place.token for each in view.held if each.state not in GONE}
    for place in sorted(set(named) - ours):
        title = titles.get(place, place)
        yield Line(
            rule=None,
            bps_id=view.group.bps_id,
            privilege=None,
            place=title,
            state="by_hand",
            detail=DETAILS["by_hand"],
        )


def _judge(held: HeldPrivilege | None, place: tuple[str, str] | None, *, exists: bool) -> tuple[LineState, str]:
    """Return the state of something that a rule gives."""
    if place is not None and place[0] == "gone":
        return "gone", ""
    if held is not None and held.state in GONE:
        return "taken", ""
    if held is not None and held.state in ("unsure", "sent"):
        return "unknown", ""
    if held is not None and held.state == "granted":
        return ("beside" if held.beside else "given"), ""
    if place is None or place[0] != "read":
        return "waiting", f"the place could not be read: {place[1]}" if place else "the place was not read yet"
    return ("missing", "") if exists else ("waiting", "the group is not in the portal yet")


def _judge_rest(
    held: HeldPrivilege, place: tuple[str, str] | None, *, due: bool, same: bool, exists: bool, owned: bool
) -> tuple[LineState, str]:
    """Return the state of something of ours that no rule gives any more; ``same``: one gives what may be it."""
    if place is not None and place[0] == "gone":
        return "gone", ""
    if not exists:
        return "kept", LEFT_BEHIND
    if not held.surely_ours:
        return "kept", ""
    if due:
        return "leaving", ""
    if same:
        return "kept", "a rule gives what may be the very same: no list tells which guid belongs to which id"
    if not owned:
        return "kept", NOT_OURS
    if place is None or place[0] != "read":
        said = f"could not be read: {place[1]}" if place else "was not read yet"
        return "kept", f"no rule gives it any more, and it is not taken: the place {said}"
    return (
        "kept",
        "no rule gives it any more, and it stays: scope.protect, policy.deleted_groups or policy.mode says so",
    )


def _tell_failed(error: str) -> str:
    return f"the last attempt failed, and it is tried again: {error}"


def _find_obstacle(group: GroupView, rules: Rules) -> str:
    """Return why no run gives something that a rule gives, to a group that is there."""
    if rules.policy.mode == "plan_only":
        return 'nothing is written (policy.mode = "plan_only")'
    if rules.policy.mode == "create_only":
        return 'groups that are there get nothing more than what failed (policy.mode = "create_only")'
    if group.bps_id.casefold() in rules.scope.protect:
        return say(Cause.PROTECTED).text
    return "the portal's record is not ours: see 'syncd explain'"


def _make(view: Allowed, rule: int | None, privilege: Privilege, state: LineState, why: str) -> Line:
    return Line(
        rule=rule,
        bps_id=view.group.bps_id,
        privilege=privilege,
        place=str(privilege.place),
        state=state,
        detail=why or DETAILS[state],
    )


def judge_granted(held: HeldPrivilege) -> GrantedState | None:
    """Return what may be there by our doing; None when it is gone."""
    if held.state in GONE:
        return None
    if held.state != "granted":
        return "unknown"
    return "beside" if held.beside else "given"


def describe_held(held: Sequence[tuple[str, HeldPrivilege]]) -> list[dict[str, str]]:
    """Return what explanations say of privileges that rules gave, each with the BPS id of its group."""
    found = []
    for group, each in held:
        state: LineState = judge_granted(each) or "taken"
        entry = {"group": group, "privilege": str(each.privilege), "state": state, "detail": DETAILS[state]}
        found.append(entry)
    return found
