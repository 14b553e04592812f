"""Privileges around a plan: what the rules mean, and who has something at the places that they name."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import structlog

from syncd.errors import AuthFailed, ConfigError, Forbidden, Interrupted, RemoteError
from syncd.model.privilege import Place, Privilege, read_privilege
from syncd.model.reason import Cause
from syncd.model.target import NO_SCOPE
from syncd.plan.group_names import fold_name, list_ids, name_choice
from syncd.plan.privileges import RULE_GROUP, RULE_WAITS, WantedPrivilege, find_repeated
from syncd.plan.rules import PrivilegeRule, Rules
from syncd.plan.words import say
from syncd.sync.portal.gone_places import settle_gone
from syncd.sync.portal.identities import identify
from syncd.sync.portal.looks import Looks
from syncd.sync.portal.places import Places, Unknown, Waits, name_rule

if TYPE_CHECKING:
    from syncd.store.store import Store


PAUSE = timedelta(hours=1)
"""So long nothing is asked or sent after a refusal for want of a scope, except by an explicit sync."""

_LISTED = "the portal says that there is no such place, and its lists show it"


class Privileging:
    """The privileges of one push. Asks nothing of a portal for which there are no rules, now or before."""

    def __init__(self, looks: Looks, rules: Rules, *, now: datetime, stopping: Callable[[], bool]) -> None:
        self._looks = looks
        self._portal = looks.portal
        self._store = looks.store
        self._rules = rules
        self._now = now
        self._stopping = stopping
        self._log = structlog.get_logger("syncd.privileges")
        self.notes: list[str] = []
        """What the administrator should know."""
        self.ours = False
        """Whether privileges are looked after; known after `prepare`."""
        self.wanted: tuple[WantedPrivilege, ...] = ()
        """What the rules give; a place that nobody has looked up has no key."""

    async def are_ours(self) -> bool:
        """Return whether privileges are looked after: there are rules, or some of what rules of the past gave."""
        return bool(self._rules.privileges) or await self._store.privileges.are_ours()

    async def prepare(self, *, ask: bool, read: bool, write: bool, retry: bool = True) -> None:
        """Find out what the rules mean; ConfigError with everything that they name and nobody has.

        ``ask`` False: the portal is not asked, and rules that nobody looked up yet wait. ``read``: read who has
        something at each place, too. ``write`` False: nothing is remembered. ``retry`` False: what waits for a scope is
        asked for once an hour.
        """
        self.ours = await self.are_ours()
        if not self.ours:
            if read:
                await self._store.privileges.keep_places((), ours=False)
            return
        meanings = await self._store.privileges.load_meanings()
        known, places = dict(meanings), Places(self._portal)
        if ask and read:
            await identify(places, self._store, meanings)
        await self._resolve(meanings, places, ask=ask, retry=retry)
        if write and meanings != known:
            await self._store.privileges.save_meanings(meanings)
        if read and ask:
            await self._read_and_settle(places, meanings, write=write)
        elif read:
            await self._store.privileges.keep_places(await self.read())

    async def _read_and_settle(self, places: Places, meanings: dict[str, Any], *, write: bool) -> None:
        """Read each place, and settle what is gone: from before, and as it turns out now."""
        before = await self._load_missing()
        lost = await self._settle(places, meanings, before, write=write) if before else []
        read = set(await self.read(without=lost))
        now = [place for place in await self._load_missing() if place not in lost]
        if now:
            lost += await self._settle(places, meanings, now, write=write)
            read |= set(await self.read(without=lost, only_new=read))
        for place in await self._load_missing():
            if place in before or place in lost:  # said twice, or the lists say so, too
                await self._store.privileges.note_gone(place)
        await self._store.privileges.keep_places(read | {place.token for place in lost})
        for place in lost:
            self._note_gone(place)

    async def _load_missing(self) -> list[Place]:
        """Return the places of rules and of the own record that the portal had no more when it was last asked."""
        states = await self._store.in_thread(self._store.privileges.load_readable)
        missing = {token for token, (state, _) in states.items() if state in ("missing", "gone")}
        return [place for token, place in (await self._list_places()).items() if token in missing]

    async def _settle(
        self, places: Places, meanings: dict[str, Any], gone: Collection[Place], *, write: bool
    ) -> list[Place]:
        """Settle places that are gone; return those that are not read."""
        rules = self._rules.privileges
        settled = await settle_gone(places, self._store, rules, meanings, gone=gone, write=write)
        self.wanted = tuple(
            replace(each, privilege=settled.moved.get(each.rule, each.privilege)) for each in self.wanted
        )
        if problems := _refuse_repeated(self.wanted):
            raise ConfigError(problems)
        if settled.moved and write:
            await self._store.privileges.save_meanings(meanings)
        for place in settled.listed:
            await self._note_listed(place)
        return settled.lost

    async def _list_places(self) -> dict[str, Place]:
        """Return the places of rules and of the own record, by their tokens."""
        known = await self._store.privileges.load_places()
        return {place.token: place for place in (*known, *(each.privilege.place for each in self.wanted)) if place.key}

    async def read(
        self,
        also: Iterable[Place] = (),
        *,
        without: Collection[Place] = (),
        only_new: Collection[str] = (),
    ) -> Collection[str]:
        """Read who has something at each place of a rule, of the own record and these; what cannot be read is told.

        Returns the tokens of these places. ``without``: places, and ``only_new``: tokens, that are not read.
        """
        places = {place.token: place for place in also} | await self._list_places()
        for token in {*only_new, *(place.token for place in without)} & places.keys():
            del places[token]
        for _, place in sorted(places.items()):
            if self._stopping():
                raise Interrupted("asked to stop while reading privileges")
            try:
                found = await self._looks.read(place, now=self._now)
            except AuthFailed:
                raise
            except Forbidden as error:
                if error.code == NO_SCOPE:
                    await self._note_refusal(error)
                    for one in places.values():  # none of them can be read
                        await self._store.privileges.store_unreadable(one, str(error))
                    break
                await self._note_unreadable(place, error)
            except RemoteError as error:
                await self._note_unreadable(place, error)
            else:
                if found is None:
                    self._note_gone(place)
                elif not found.complete:
                    self._note_incomplete(place)
        return places.keys()

    def _note_gone(self, place: Place) -> None:
        if (told := _tell_gone(place)) not in self.notes:
            self._log.warning("privileges.place_gone", place=place.token)
            self.notes.append(told)

    def _note_incomplete(self, place: Place) -> None:
        """What is without a name may be any group's: nothing there is taken for gone."""
        self._log.warning("privileges.incomplete", place=place.token)
        self.notes.append(
            f"privileges: {place}: the portal lists somebody there without a BPS id, so what it does not name may be "
            "there all the same: remove that entry in the portal"
        )

    async def _note_listed(self, place: Place) -> None:
        """Take it back that a place is gone: one answer says so, and the lists show it."""
        await self._store.privileges.store_unreadable(place, _LISTED)
        if (told := _tell_gone(place)) in self.notes:  # read in this run
            self.notes[self.notes.index(told)] = f"privileges: {place} could not be read ({_LISTED})"

    async def _note_unreadable(self, place: Place, error: RemoteError) -> None:
        self._log.warning("privileges.unreadable", place=place.token, error=str(error))
        self.notes.append(f"privileges: {place} could not be read ({error})")
        await self._store.privileges.store_unreadable(place, str(error))

    async def _note_refusal(self, error: RemoteError) -> None:
        """Say it once in the log, not in every run."""
        if await self._store.privileges.load_refusal() is None:
            self._log.warning("privileges.forbidden", error=str(error))
        await self._store.privileges.note_refusal(self._now)
        if (said := say(Cause.PRIVILEGES_REFUSED).text) not in self.notes:
            self.notes.append(said)

    # ---- rules ------------------------------------------------------------------------------------------------------

    async def _resolve(self, meanings: dict[str, Any], places: Places, *, ask: bool, retry: bool) -> None:
        problems, found = list[str](), list[WantedPrivilege]()
        waiting, lacking, unscoped, why, refused = list[str](), list[str](), list[str](), "", False
        for number, rule in enumerate(self._rules.privileges):
            group = await self._store.in_thread(find_rule_group, self._store, rule, meanings)
            if isinstance(group, str):
                problems.append(f"privileges[{number}].group: {group}")
            key, privilege = name_rule(rule), None
            said = None if retry else _recall_wait(meanings, key, now=self._now)
            if key in meanings:
                privilege = read_privilege({**meanings[key], "level": rule.level})
            elif said:
                lacking.append(f"privileges[{number}]")
                why = why or said
            elif said is not None:
                unscoped.append(f"privileges[{number}]")
            elif ask and not refused:
                meanings.pop(f"{RULE_WAITS}{key}", None)
                try:
                    privilege = await places.find(rule)
                except Unknown as unknown:
                    problems += [f"privileges[{number}].{name}: {words}" for name, words in unknown.problems]
                    continue
                except Waits as error:
                    lacking.append(f"privileges[{number}]")
                    why = why or str(error)
                    meanings[f"{RULE_WAITS}{key}"] = [self._now.isoformat(), str(error)]
                except AuthFailed:
                    raise
                except RemoteError as error:
                    if refused := isinstance(error, Forbidden) and error.code == NO_SCOPE:
                        await self._note_refusal(error)
                    else:
                        self._log.warning("privileges.unreadable", place=key, error=str(error))
                else:
                    meanings[key] = privilege.values()
                    self._log.info("privileges.place_found", rule=number, place=privilege.place.token)
            if privilege is None:  # what it gave under another name is not taken meanwhile
                name = f"privileges[{number}]"
                waiting += [name] if name not in (*lacking, *unscoped) else []
                if refused and name in waiting:
                    meanings[f"{RULE_WAITS}{key}"] = [self._now.isoformat(), ""]
                nowhere = Place(database=rule.database, kind=rule.kind, key="")
                privilege = Privilege(place=nowhere, level=rule.level)
            if isinstance(group, int):
                found.append(WantedPrivilege(rule=number, group=group, name=rule.group, privilege=privilege))
        problems += _refuse_repeated(found)
        if problems:
            raise ConfigError(sorted(problems))
        if lacking:
            self.notes.append(f"{', '.join(f'{name}.company' for name in lacking)}: {why}")
        if unscoped and (told := say(Cause.PRIVILEGES_REFUSED).text) not in self.notes:
            self.notes.append(told)
        if waiting and not refused:
            self.notes.append(f"privileges: {', '.join(waiting)}: the place could not be looked up in the portal yet")
        self._forget_others(meanings)
        self.wanted = tuple(found)

    def _forget_others(self, meanings: dict[str, Any]) -> None:
        """Keep in mind only what rules of today name."""
        rules = self._rules.privileges
        named = {name_rule(rule) for rule in rules} | {f"{RULE_GROUP}{fold_name(rule.group)}" for rule in rules}
        named |= {f"{RULE_WAITS}{name_rule(rule)}" for rule in rules if name_rule(rule) not in meanings}
        for key in meanings.keys() - named:
            del meanings[key]


def _tell_gone(place: Place) -> str:
    return f"privileges: {place}: {say(Cause.PLACE_GONE).text}; nothing is done there"


def _recall_wait(meanings: Mapping[str, Any], key: str, *, now: datetime) -> str | None:
    """Return what was said when a rule was found to wait for a scope within the hour, "" for the scope of all of them.

    None: it was not, or longer ago.
    """
    at, said = meanings.get(f"{RULE_WAITS}{key}", (None, ""))
    if at is None or not timedelta() <= now - datetime.fromisoformat(at) < PAUSE:
        return None
    return str(said)


def _refuse_repeated(wanted: Collection[WantedPrivilege]) -> list[str]:
    """Return which rules give what an earlier one gives; a place that nobody has looked up yet is like no other."""
    repeated = find_repeated([each for each in wanted if each.privilege.place.key])
    return [
        f"privileges[{number}]: gives the same as privileges[{first}]; remove it" for number, first in repeated.items()
    ]


def find_rule_group(store: Store, rule: PrivilegeRule, meanings: dict[str, Any]) -> int | str:
    """Return the store's key of a rule's group, by id, as it was remembered or as its name says; or what is wrong.

    A group that is gone is meant still, so that what it got is taken; one that was made anew with its name is it.
    """
    key, desired = f"{RULE_GROUP}{fold_name(rule.group)}", store.desired
    by_id = desired.find_group(rule.group.strip().lower())
    if by_id is not None:
        return by_id.key
    known = desired.find_group(meanings[key]) if key in meanings else None
    if known is not None and known.there:
        return known.key
    chunks = desired.iterate_named_groups(touched_only=False)
    named = fold_name(rule.group)
    bearers = [group for some in chunks for group in some if group.there and fold_name(group.name) == named]
    if known is not None and len(bearers) != 1:
        return known.key
    if len(bearers) == 1:
        meanings[key] = bearers[0].id
        return bearers[0].key
    if bearers:
        ids = list_ids(group.id for group in bearers)
        return f"{len(bearers)} groups are named '{rule.group}' ({ids}); name the one by its id"
    names = (group.name for some in desired.iterate_named_groups(touched_only=False) for group in some if group.there)
    return f"no group has the id or the name '{rule.group}'; {name_choice(rule.group, names)}"


def recall_rules(store: Store, rules: Rules) -> list[tuple[int, WantedPrivilege | None]]:
    """Return each rule with what it gives, as far as that was found out before; called where it may block."""
    meanings = store.privileges.load_meanings.blocking()
    found: list[tuple[int, WantedPrivilege | None]] = []
    for number, rule in enumerate(rules.privileges):
        group, known = find_rule_group(store, rule, dict(meanings)), meanings.get(name_rule(rule))
        wanted = None
        if isinstance(group, int) and known is not None:
            privilege = read_privilege({**known, "level": rule.level})
            wanted = WantedPrivilege(rule=number, group=group, name=rule.group, privilege=privilege)
        found.append((number, wanted))
    return found


def recall_rule_groups(store: Store, rules: Rules) -> list[tuple[int, str, str]]:
    """Return the rules whose group a run has met, each with that group's id, and the name that it had then."""
    meanings = store.privileges.load_meanings.blocking()
    found: list[tuple[int, str, str]] = []
    for number, rule in enumerate(rules.privileges):
        remembered = meanings.get(f"{RULE_GROUP}{fold_name(rule.group)}")
        known = store.desired.find_group(remembered or rule.group.strip().lower())
        if known is not None:
            found.append((number, known.id, known.name))
    return found


def find_unknown_groups(store: Store, rules: Rules) -> dict[int, str]:
    """Return what is wrong with the groups of rules by the store alone; nothing where it was never filled."""
    if not any(any(some) for some in store.desired.iterate_named_groups(touched_only=False)):
        return {}
    meanings = store.privileges.load_meanings.blocking()
    known = {number: find_rule_group(store, rule, dict(meanings)) for number, rule in enumerate(rules.privileges)}
    return {number: said for number, said in known.items() if isinstance(said, str)}
