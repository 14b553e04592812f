"""The portal beside what it must hold: in the end, and what people keep although the tenant has taken it away."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from syncd.plan.rules import LicenceRule
from tests.fakes.wired import name_processes
from tests.property.portal_oracle import FROZEN, LEAVERS, LICENCES, Truth

if TYPE_CHECKING:
    from tests.property.portal_stage import Stage


def find_kept(stage: Stage, truth: Truth) -> set[tuple[str, ...]]:
    """Return the places and licences that people of ours keep, although tenant and settings have taken them away.

    What somebody put in by hand, or what a person rejected, is nobody's mistake.
    """
    beside = Comparison(stage, truth, late=False)
    by_hand = stage.by_hand | {("licence", bps_id, kind) for bps_id, kind in stage.manual}
    return beside.find_places_kept() | beside.find_licences_kept() - by_hand


class Comparison:
    """The portal beside what it must hold, in the end."""

    def __init__(self, stage: Stage, truth: Truth, *, late: bool) -> None:
        self.stage, self.truth, self.late = stage, truth, late
        self.accounts, self.groups = stage.accounts(), stage.groups()
        self.loose = {each.bps_id for each in stage.rejected} | {each.target for each in stage.rejected}
        """Records of which a person rejected a change: they stay as they are in that respect."""
        unmade = {each.bps_id for each in stage.rejected if each.action == "create" and each.object == "user"}
        for user, bps_id in truth.wanted.items():
            if bps_id in unmade:
                self.loose |= stage.names[user]  # whose move was rejected keeps the account of before
        for record, heir in stage.refused_heirs:
            self.loose |= {record} | stage.names.get(heir, set()) | stage.group_names.get(heir, set())
        self.away = {what[1] for what in stage.accepted if what[0] == "record"}
        """Records of which a person, or the policy, took the removal as it is."""

    def compare(self) -> None:
        """Fail at the first difference."""
        for user, bps_id in self.truth.wanted.items():
            if bps_id not in self.loose | self.away:
                self._compare_account(user, bps_id)
        for bps_id in self.truth.groups:
            if bps_id not in self.loose | self.away:
                self._compare_group(bps_id)
        for bps_id in self.groups.keys() & self.stage.ours - self.truth.groups.keys() - self.truth.unclear - self.loose:
            self._compare_former_group(bps_id)
        for bps_id in self.accounts.keys() & self.stage.ours - set(self.truth.wanted.values()) - self.loose:
            self._compare_former_account(bps_id)
        self._compare_licences()
        self._compare_substitutions()

    def _compare_account(self, user: str, bps_id: str) -> None:
        account = self.accounts.get(bps_id)
        assert account is not None, f"{bps_id} is missing"
        wanted = self.truth.fields(user)
        for name in ("name", "email", "jobTitle", "phoneNumber"):
            if ("field", bps_id, name) not in self.stage.accepted:
                found = account.values[name]
                adopted_rest = wanted[name] is None and found == "By hand"
                assert found == wanted[name] or adopted_rest, f"{bps_id} has {name} {found}, not {wanted[name]}"
        manager = self.stage.source.users[user].manager
        if self.truth.config.managers and manager in self.truth.wanted:
            its = self.truth.wanted[manager]
            if its not in self.loose | self.away and ("field", bps_id, "managerBpsId") not in self.stage.accepted:
                assert (account.values["managerBpsId"] or "").casefold() == its, f"{bps_id} lacks the manager {its}"

    def _compare_group(self, bps_id: str) -> None:
        group = self.groups.get(bps_id)
        assert group is not None, f"{bps_id} is missing"
        name = self.truth.source.groups[self.truth.groups[bps_id]].attributes["displayName"]
        assert group.name == name, f"{bps_id} is {group.name}"
        for kind in ("membership", "ownership") if self.truth.config.owners else ("membership",):
            there, wanted = self.stage.places(kind)[bps_id], self.truth.places(kind, bps_id)
            for person in wanted ^ there:
                assert self._is_excused(kind, bps_id, person), f"{kind} of {person} in {bps_id}: wanted {wanted}"

    def _is_excused(self, kind: str, group: str, person: str) -> bool:
        if (kind, group, person) in self.stage.accepted or person in self.loose | self.away:
            return True
        states = self.truth.find_states(person)
        frozen = states & FROZEN and group in self.truth.groups and self.truth.keeps_place(kind, group, person)
        return (
            bool(frozen)
            or any(self.truth.config.policy_for(s) == "keep" for s in states & LEAVERS)
            or (person in self.truth.config.protect)
        )

    def find_places_kept(self) -> set[tuple[str, ...]]:
        """Return the places in wanted groups of people whom tenant and settings do not want there."""
        found = set[tuple[str, ...]]()
        for group in self.truth.groups.keys() & self.groups.keys() & self.stage.ours - self.loose:
            for kind in ("membership", "ownership") if self.truth.config.owners else ("membership",):
                extra = self.stage.places(kind)[group] - self.truth.places(kind, group)
                found |= {
                    (kind, group, person)
                    for person in extra & self.stage.ours
                    if not self._is_excused(kind, group, person)
                    if self.truth.find_states(person) and (kind, group, person) not in self.stage.by_hand
                }
        return found

    def find_licences_kept(self) -> set[tuple[str, ...]]:
        """Return the licences of people whom no rule gives them to, or who are gone."""
        if not LICENCES[self.truth.config.licences] or self.stage.wire.knobs.perpetual_licences:
            return set()
        found = set[tuple[str, ...]]()
        users = {bps_id: key for key, bps_id in self.truth.wanted.items()}
        given = {bps_id: {kind for one, kind in self.stage.manual if one == bps_id} for bps_id, _ in self.stage.manual}
        for bps_id, held in self.stage.licences().items():
            states = self.truth.find_states(bps_id)
            if bps_id not in self.stage.ours - self.loose or bps_id in self.truth.config.protect or not states:
                continue
            if any(self.truth.config.policy_for(state) == "keep" for state in states & LEAVERS):
                continue
            rule = self.truth.licence(users[bps_id]) if bps_id in users else None
            by_hand = self.find_manual(users[bps_id]) if bps_id in users else given.get(bps_id, set())
            found |= {
                ("licence", bps_id, kind)
                for kind in held - by_hand
                if (rule is None or rule.type != kind) and not self.truth.keeps_licence(bps_id, kind)
            }
        return found

    def _compare_former_group(self, bps_id: str) -> None:
        states, policy = self.truth.find_group_states(bps_id), self.truth.config.groups
        if states <= LEAVERS and policy != "keep" and bps_id not in self.truth.config.protect:
            if policy == "delete" and self.late and not self._is_tied(bps_id):
                raise AssertionError(f"{bps_id} was to be deleted: {states}")
            there = self.stage.places("membership")[bps_id]
            left = {person for person in there if not self._is_excused("membership", bps_id, person)}
            assert not left, f"{bps_id} is {states}, and has {left}"

    def _compare_former_account(self, bps_id: str) -> None:
        if bps_id in self.truth.config.protect or self._is_tied(bps_id):
            return
        states = self.truth.find_states(bps_id)
        if self.late and states and all(self.truth.config.policy_for(state) == "delete" for state in states):
            raise AssertionError(f"{bps_id} was to be deleted: {states}")

    def _is_tied(self, bps_id: str) -> bool:
        """Return whether deleting a record would empty a place in a protected group, or a protected person's."""
        protect = self.truth.config.protect
        places = [self.stage.places(kind) for kind in ("membership", "ownership")]
        held = set[str]().union(*(place.get(bps_id, ()) for place in places))
        in_groups = {key for place in places for key, people in place.items() if bps_id in people}
        return bool((held | in_groups) & protect)

    def _compare_licences(self) -> None:
        stage, truth = self.stage, self.truth
        if not LICENCES[truth.config.licences] or stage.wire.knobs.perpetual_licences:
            return
        held = stage.licences()
        for user, bps_id in truth.wanted.items():
            rule = truth.licence(user)
            if bps_id in self.loose | self.away:
                continue
            given = self.find_manual(user)
            if rule is not None and ("licence", bps_id, rule.type) not in stage.accepted:
                assert rule.type in held.get(bps_id, ()), f"{bps_id} lacks {rule.type}"
                if rule.type not in given:
                    _compare_settings(bps_id, rule, stage.settings(bps_id, rule.type))
            extra = held.get(bps_id, set()) - given - ({rule.type} if rule else set())
            assert not extra, f"{bps_id} holds {extra}"
        kept = {what for what in self.find_licences_kept() if self.truth.find_states(what[1]) <= FROZEN}
        assert not kept, f"{kept} are kept by people who cannot be written"

    def find_manual(self, user: str) -> set[str]:
        """Return the types that somebody gave by hand to an account from which they may have come to this person."""
        met: set[str] = set()
        fresh = set(self.stage.names[user])
        while fresh:  # a licence goes along with each rename, and accounts change hands
            met |= fresh
            fresh = set().union(*(names for names in self.stage.names.values() if names & met)) - met
        return {kind for bps_id, kind in self.stage.manual if bps_id in met}

    def _compare_substitutions(self) -> None:
        entries = self.stage.wire.service.substitutions.entries
        ours: list[Any] = [entry for number, entry in entries.items() if number < 1000]
        originals = [entry["originalPerson"]["bpsId"].casefold() for entry in ours]
        assert len(originals) == len(set(originals)), "two of them stand in for one"
        used = set(self.truth.wanted.values()) - self.loose
        assert not used & set(originals), "the tasks of an account in use go elsewhere"


def _compare_settings(bps_id: str, rule: LicenceRule, settings: dict[str, Any]) -> None:
    """Fail unless a licence has what its rule states, and no process besides those that it names."""
    flags = {
        "project_creation": settings.get("allowDesignerDeskProjectCreation"),
        "project_publishing": settings.get("allowDesignerDeskProjectPublishing"),
    }
    for name, value in rule.settings.items():
        if name == "processes":
            found = name_processes(settings)
            assert found == set(value.split()), f"{bps_id} may use {sorted(found)}, not {value}"
        else:
            assert flags[name] is (value == "true"), f"{bps_id} has {settings}, not {name} {value}"
