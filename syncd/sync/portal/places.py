"""What the rules about privileges mean: their places and companies, looked up in the portal once and remembered."""

from __future__ import annotations

import contextlib
import re
from collections.abc import AsyncIterator, Collection, Iterable
from dataclasses import dataclass, field, replace
from typing import Final, Literal

from syncd.errors import Forbidden, NotFound, Rejected
from syncd.model.privilege import PLACE_WORDS, Listed, ListKind, Place, PlaceKind, Privilege
from syncd.model.target import NO_SCOPE
from syncd.plan.group_names import name_choice
from syncd.plan.privileges import choose_listed
from syncd.plan.rules import PrivilegeRule
from syncd.sync.ports.sides import Portal

_EXACT = re.compile(r"\d+|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
"""What the portal takes for a place itself: its id or its guid."""
_GUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
"""What is known by itself, also where no list shows it."""

_TRIED = range(1, 11)
"""Ids of content databases that are tried to say which there are: no operation of the API lists them."""
GONE: Final = "gone"
"""Said of a company that the portal has no more."""
_WHERE_DATABASES = "the API lists none: the id stands in the address of any element, …/db/1/app/…"


class Unknown(Exception):
    """A rule names what the portal does not have: each as the key of the setting, and what there is to choose from."""

    def __init__(self, *problems: tuple[str, str]) -> None:
        super().__init__("; ".join(words for _, words in problems))
        self.problems = problems


class Waits(Exception):
    """What a rule names cannot be looked up, for want of a scope that other rules do not need."""


@dataclass(slots=True)
class Places:
    """Finds places and companies. Not reused: each list is read at most once."""

    portal: Portal
    _lists: dict[tuple[int, ListKind, str], tuple[Listed, ...]] = field(default_factory=dict)
    _databases: list[int] | None = None
    _hidden: set[int] = field(default_factory=set)
    """Databases of which a list was refused us, or missing: what the others do not show may be there."""

    async def find(self, rule: PrivilegeRule) -> Privilege:
        """Return what a rule gives; Unknown names what is wrong with it, Forbidden or Waits a missing scope."""
        try:
            await self._check_database(rule.database)
        except Unknown as unknown:  # what lies below is looked for in the databases that there are
            kinds: list[ListKind] = ["workflow", rule.kind] if rule.workflow else [rule.kind]
            below = await self._find_missing(rule, self._databases or (), [*kinds, "company"])
            raise Unknown(*unknown.problems, *below) from unknown
        try:
            place = await self._find_place(rule)
        except Unknown as unknown:
            problems = unknown.problems
            if any(key == "workflow" for key, _ in problems):
                problems += await self._find_missing(rule, (rule.database,), [rule.kind])
            await self._find_company(rule, before=problems)
            raise Unknown(*problems) from unknown
        company = await self._find_company(rule)
        return Privilege(
            place=place,
            level=rule.level,
            company=company.key if company else "",
            company_name=(company.code or company.name) if company else "",
        )

    async def find_again(self, place: Place) -> Listed | None:
        """Return what the portal says today of a place that was found before; None when it does not tell."""
        if place.kind != "form_type":
            return await self.portal.find_place(place.database, place.kind, place.key)
        listed = await self._list(place.database, "form_type", place.workflow)
        return next((each for each in listed if place.key in (each.guid, str(each.number))), None)

    async def find_company_again(self, privilege: Privilege) -> Listed | Literal["gone"] | None:
        """Return the same of a company; None where there is none, or we are not shown them."""
        if not privilege.company:
            return None
        try:
            listed = await self._list(privilege.place.database, "company")
        except Forbidden:
            return None
        found = next((each for each in listed if privilege.company in (each.guid, str(each.number))), None)
        return found or GONE

    async def identify(self, privilege: Privilege) -> Privilege:
        """Return the same, with guids in place of the numbers that a list tells the guid of; Forbidden as `find`."""
        place, company = privilege.place, privilege.company
        workflow, key = place.workflow, place.key
        if company.isdecimal():
            company = _find_guid(await self._list(place.database, "company"), company)
        if workflow.isdecimal():
            workflow = _find_guid([each async for each in self._walk(place.database, "workflow")], workflow)
        if key.isdecimal():
            within = [each async for each in self._walk(place.database, "process")]
            listed = within if place.kind == "process" else await self._list(place.database, place.kind, workflow)
            key = _find_guid(listed, key)
        return replace(privilege, place=replace(place, workflow=workflow, key=key), company=company)

    async def is_listed(self, place: Place) -> bool | None:
        """Return whether the lists show a place; None: they are not all shown to us."""
        database, listed = place.database, await self._list(place.database, "application")
        if not listed:
            return None
        if place.kind == "process":
            listed = tuple([each async for each in self._walk(database, "process")])
        elif place.kind == "form_type":
            workflows = [each async for each in self._walk(database, "workflow")]
            there = any(_is(each, place.workflow) for each in workflows)
            listed = await self._list(database, "form_type", place.workflow) if there else ()
        if any(_is(each, place.key) for each in listed):
            return True
        return None if database in self._hidden else False

    async def _check_database(self, database: int) -> None:
        try:
            await self._list(database, "application")
        except (Rejected, NotFound) as error:
            words = f"the portal refuses the content database {database} ({error}); {await self._name_databases()}"
            raise Unknown(("database", words)) from error

    async def _name_databases(self) -> str:
        """Return in words which databases there are to choose from, as far as they can be found out by trying."""
        if self._databases is None:
            self._databases = []
            for each in _TRIED:
                with contextlib.suppress(Rejected, NotFound, Forbidden):
                    await self._list(each, "application")
                    self._databases.append(each)
        there = ", ".join(map(str, self._databases)) or "none"
        return f"of the ids {_TRIED[0]} to {_TRIED[-1]} it answers to {there} ({_WHERE_DATABASES})"

    async def _find_missing(
        self, rule: PrivilegeRule, databases: Collection[int], kinds: Collection[ListKind]
    ) -> tuple[tuple[str, str], ...]:
        """Return what of a rule none of these databases has, where we are shown all of it.

        Of what is named by id or guid lists tell nothing.
        """
        found, where = list[tuple[str, str]](), ", ".join(map(str, sorted(databases)))
        for kind in kinds:
            named = {"workflow": rule.workflow, "company": rule.company}.get(kind, rule.place)
            if not named or not databases or _EXACT.fullmatch(named):
                continue
            listed, hidden = list[Listed](), False
            for database in databases:
                try:
                    listed += [each async for each in self._list_all(database, kind)]
                except Forbidden:
                    hidden = True
                except (Rejected, NotFound):
                    continue
                hidden = hidden or (kind not in ("application", "company") and database in self._hidden)
            if (
                listed
                and not hidden
                and not any(named.casefold() in (each.name.casefold(), each.code.casefold()) for each in listed)
            ):
                names = sorted({each.code or each.name or each.key for each in listed}, key=str.casefold)
                what = f"there is no {PLACE_WORDS[kind]} '{named}' anywhere in database {where}"
                found.append((kind, f"{what}; {name_choice(named, names)}"))
        return tuple(found)

    async def _list_all(self, database: int, kind: ListKind) -> AsyncIterator[Listed]:
        """Yield everything of a kind that we are shown in a database."""
        if kind == "process" or kind == "workflow":
            async for each in self._walk(database, kind):
                yield each
        elif kind == "form_type":
            async for workflow in self._walk(database, "workflow"):
                for each in await self._list(database, "form_type", workflow.key):
                    yield each
        else:
            for each in await self._list(database, kind):
                yield each

    async def _find_place(self, rule: PrivilegeRule) -> Place:
        workflow = ""
        if rule.kind == "form_type":
            workflow = await self._find_workflow(rule)
            listed = self._choose(await self._list(rule.database, "form_type", workflow), rule.place, "form_type")
        else:
            listed = await self._find_listed(rule, rule.kind)
        return Place(database=rule.database, kind=rule.kind, key=listed.key, workflow=workflow, name=listed.name)

    async def _find_listed(self, rule: PrivilegeRule, kind: PlaceKind) -> Listed:
        if _EXACT.fullmatch(rule.place):
            found = await self.portal.find_place(rule.database, kind, rule.place)
            if found is not None:
                return found
        if kind == "application":
            listed = await self._list(rule.database, "application")
        else:
            listed = tuple([each async for each in self._walk(rule.database, "process")])
        return self._choose(listed, rule.place, kind)

    async def _find_workflow(self, rule: PrivilegeRule) -> str:
        listed = tuple([each async for each in self._walk(rule.database, "workflow")])
        found = choose_listed(listed, rule.workflow, "workflow")
        if isinstance(found, Listed):
            return found.key
        if not listed and _GUID.fullmatch(rule.workflow):
            return rule.workflow.casefold()  # the lists are not for us, the workflow itself may be
        raise Unknown(("workflow", found))

    async def _find_company(self, rule: PrivilegeRule, *, before: tuple[tuple[str, str], ...] = ()) -> Listed | None:
        """Return the company of a rule, None for all. ``before``: what is wrong with the rule besides."""
        if not rule.company:
            return None
        try:
            listed = await self._list(rule.database, "company")
        except Forbidden as error:
            if before:
                return None
            if not _GUID.fullmatch(rule.company):
                raise Waits(f"{error}; or name the company by its guid") from error
            return Listed(number=None, guid=rule.company.casefold(), name="")
        return self._choose(listed, rule.company, "company", before=before)

    def _choose(
        self, listed: tuple[Listed, ...], reference: str, kind: ListKind, *, before: tuple[tuple[str, str], ...] = ()
    ) -> Listed:
        found = choose_listed(listed, reference, kind)
        if isinstance(found, str):
            raise Unknown(*before, (kind, found))
        return found

    async def _walk(self, database: int, kind: ListKind) -> AsyncIterator[Listed]:
        """Yield all processes or all workflows that we are shown."""
        for application in await self._list(database, "application"):
            for process in await self._list(database, "process", application.key):
                if kind == "process":
                    yield process
                    continue
                for workflow in await self._list(database, "workflow", process.key):
                    yield workflow

    async def _list(self, database: int, kind: ListKind, within: str = "") -> tuple[Listed, ...]:
        """Return a list; what lies in a place that we may not look into is nothing that could be meant."""
        known = self._lists.get((database, kind, within))
        if known is None:
            try:
                known = await self.portal.list_places(database, kind, within)
            except Forbidden as error:
                if error.code == NO_SCOPE or kind == "company":
                    raise
                self._hidden.add(database)
                known = ()
            except NotFound:  # of what another list shows: what lies in it nobody can tell
                if not within:
                    raise
                self._hidden.add(database)
                known = ()
            self._lists[database, kind, within] = known
        return known


def is_exact(reference: str) -> bool:
    """Return whether a rule names something by its id or its guid."""
    return _EXACT.fullmatch(reference) is not None


def is_other_name(reference: str, listed: Listed) -> bool:
    """Return whether a rule names something by a name that it does not bear any more."""
    return not is_exact(reference) and reference.casefold() not in (listed.name.casefold(), listed.code.casefold())


def _is(listed: Listed, key: str) -> bool:
    return key.casefold() in (listed.guid, str(listed.number))


def _find_guid(listed: Iterable[Listed], number: str) -> str:
    """Return the guid of what has this number, or the number where nobody tells the guid."""
    return next((each.guid for each in listed if each.guid and str(each.number) == number), number)


def name_rule(rule: PrivilegeRule) -> str:
    """Return what a rule says of its place and company, as the key under which their meaning is remembered."""
    return "/".join((str(rule.database), rule.kind, rule.workflow, rule.place, rule.company)).casefold()
