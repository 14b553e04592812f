"""What ``syncd privileges`` says of each rule, and of what no rule gives: what is known, and what is not. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from syncd.model.privilege import Privilege
from syncd.plan.privileges import Allowed, HeldPrivilege

LineState = Literal[
    "given", "beside", "unknown", "missing", "taken", "waiting", "gone", "kept", "leaving", "by_hand", "foreign"
]

GrantedState = Literal["given", "beside", "unknown"]

DETAILS: Mapping[LineState, str] = {
    "given": "given by us; whether somebody changed the level since, the portal does not tell",
    "beside": "given by us beside something by hand, which may be the very same: no rule takes it any more",
    "unknown": "the portal refused it as a conflict, or its answer was lost: it may be there",
    "missing": "the next run gives it",
    "taken": "somebody took it",
    "waiting": "",
    "gone": "the portal has no such place any more: nothing is done there",
    "kept": "no rule gives it any more, and it may be there, by hand or by us: look in the portal, and take it there",
    "leaving": "no rule gives it any more: the next run takes it",
    "by_hand": "something was given by hand; which level and for which company, the portal does not tell",
    "foreign": "a person, or a group that is not ours, has something there; which level, the portal does not tell",
}


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
    view: Allowed, *, places: Mapping[str, tuple[str, str]], named: Collection[str], titles: Mapping[str, str]
) -> Iterator[Line]:
    """Yield the lines of one group.

    ``places``: the state of each place by its token, and why. ``named``: places at which the last reading names the
    group. ``titles``: what people call the places.
    """
    held = {each.privilege.token: each for each in view.held}
    wanted = {each.privilege.token: each for each in view.wanted if view.group.state == "wanted"}
    for token, each in wanted.items():
        state, why = _judge(held.get(token), places.get(each.privilege.place.token), exists=view.group.exists)
        yield _make(view, each.rule, each.privilege, state, why)
    for token, one in held.items():
        if token not in wanted and one.state not in ("taken", "let go"):
            kept = one.beside or one.state == "left"
            yield _make(view, None, one.privilege, "kept" if kept else "leaving", "")
    ours = {each.privilege.place.token for each in view.held}
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
    if place is not None and place[0] == "gone":
        return "gone", ""
    if held is not None and held.state in ("taken", "let go"):
        return "taken", ""
    if held is not None and held.state in ("unsure", "sent"):
        return "unknown", ""
    if held is not None and held.state == "granted":
        return ("beside" if held.beside else "given"), ""
    if place is None or place[0] != "read":
        return "waiting", f"the place could not be read: {place[1]}" if place else "the place was not read yet"
    return ("missing", "") if exists else ("waiting", "the group is not in the portal yet")


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
    if held.state in ("taken", "let go"):
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
