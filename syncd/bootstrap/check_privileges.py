"""What ``syncd check`` tries about privileges: the scopes, what is shown to us, and each place that a rule names."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

from syncd.errors import Forbidden, NotFound, RemoteError
from syncd.model.privilege import PLACE_WORDS, Listed, Place, Privilege, read_privilege
from syncd.model.target import NO_RIGHTS
from syncd.plan.rules import PrivilegeRule
from syncd.sync.portal.places import GONE, Places, Unknown, Waits, is_other_name, name_rule

if TYPE_CHECKING:
    from syncd.bps.portal import BpsPortal

Row = tuple[str, Literal["ok", "warning", "failed", "unknown"], str, str]
"""Name, status, detail and remedy."""

_SCOPE = "grant App.Metadata.ReadWrite to the API application (App.Metadata.Read alone reads)"
_RIGHTS = (
    "in the portal, make the account of the API application an administrator of the applications that the rules name, "
    "or a global administrator"
)
_NOWHERE = "00000000-0000-0000-0000-000000000000"


async def probe_privileges(
    portal: BpsPortal, rules: tuple[PrivilegeRule, ...], nobody: str, meanings: Mapping[str, Any] | None = None
) -> list[Row]:
    """Return a row per thing that was tried, changing nothing. ``nobody``: a BPS id that no record has.

    ``meanings``: what names in the rules mean that runs have looked up before.
    """
    found = [await _try_list(portal, database) for database in sorted({rule.database for rule in rules} or {1})]
    found.append(await _try_write(portal, nobody, min((rule.database for rule in rules), default=1)))
    places = Places(portal)
    for number, rule in enumerate(rules):
        meaning = (meanings or {}).get(name_rule(rule))
        if meaning is None:
            found.append(await _try_rule(portal, places, number, rule))
        else:
            known = read_privilege({**meaning, "level": rule.level})
            found.append(await _try_remembered(portal, places, f"privileges[{number}]", rule, known))
    return found


def _advise(error: Forbidden) -> str:
    """Return what helps against a refusal: rights of the account are no scope."""
    return _RIGHTS if error.code == NO_RIGHTS else _SCOPE


async def _try_list(portal: BpsPortal, database: int) -> Row:
    name = f"portal privileges, database {database}"
    try:
        listed = await portal.list_places(database, "application")
    except Forbidden as error:
        return name, "warning", f"{error}; privileges wait, everything else is done", _advise(error)
    except RemoteError as error:
        return name, "failed", str(error), "correct privileges.database: the id of a content database"
    if not listed:
        detail = "the portal shows us no application there: places can be named by their guid only"
        return name, "warning", detail, "let the account of the API application see them, or use guids"
    return name, "ok", f"{len(listed)} applications are shown to us", ""


async def _try_write(portal: BpsPortal, nobody: str, database: int) -> Row:
    """Take something from nobody, at a place that no portal has."""
    name = "portal privileges write"
    nowhere = Privilege(place=Place(database=database, kind="application", key=_NOWHERE), level="ReadOnly")
    try:
        await portal.change_privilege(nobody, nowhere, remove=True, listed=False)
    except NotFound:
        return name, "ok", "privileges can be written (a place that does not exist was refused as missing)", ""
    except Forbidden as error:
        return name, "warning", f"{error}; privileges wait, everything else is done", _advise(error)
    except RemoteError as error:
        return name, "unknown", str(error), ""
    return name, "unknown", "the portal accepted a change at a place that does not exist", ""


async def _try_rule(portal: BpsPortal, places: Places, number: int, rule: PrivilegeRule) -> Row:
    name = f"privileges[{number}]"
    try:
        privilege = await places.find(rule)
        holders = await portal.fetch_holders(privilege.place)
    except Unknown as unknown:
        return name, "failed", str(unknown), f"correct {' and '.join(f'{name}.{key}' for key, _ in unknown.problems)}"
    except Waits as lacking:
        return name, "warning", str(lacking), "grant Admin.BusinessEntities.Read to the API application"
    except Forbidden as error:
        return name, "warning", str(error), _advise(error)
    except RemoteError as error:
        return name, "unknown", str(error), ""
    if holders is None:
        return name, "failed", f"{privilege.place}: the portal has no such place", f"correct {name}"
    return name, "ok", f"{privilege}; {len(holders.bps_ids)} have something there", ""


async def _try_remembered(portal: BpsPortal, places: Places, name: str, rule: PrivilegeRule, known: Privilege) -> Row:
    """Look at the place and the company that a rule means since a run looked them up, whatever they are called now."""
    try:
        holders = await portal.fetch_holders(known.place)
        found = None if holders is None else await places.find_again(known.place)
        company = await places.find_company_again(known)
    except Forbidden as error:
        return name, "warning", str(error), _advise(error)
    except RemoteError as error:
        return name, "unknown", str(error), ""
    if holders is None:
        detail = f"{known.place}: the portal has no such place any more, and nothing is done there"
        return name, "warning", detail, f"remove {name}, or correct it"
    if known.company and company is GONE:
        detail = f"{known}: the portal has no such company any more"
        return name, "warning", detail, f"remove {name}, or correct {name}.company"
    now = replace(known, place=replace(known.place, name=found.name)) if found and found.name else known
    detail = f"{now}; {len(holders.bps_ids)} have something there"
    news = [
        f"'{said}' means the {what} {each.key}, which is named '{each.name}' now"
        for what, said, each in ((PLACE_WORDS[rule.kind], rule.place, found), ("company", rule.company, company))
        if isinstance(each, Listed) and said and is_other_name(said, each)
    ]
    if not news:
        return name, "ok", detail, ""
    remedy = "nothing changes by it; to mean another one, or to silence this, name it by its guid"
    return name, "warning", f"{detail}; {'; '.join(news)}", remedy


def list_names(rules: tuple[PrivilegeRule, ...]) -> Iterator[str]:
    """Yield the names of all rows, for where nothing can be tried."""
    yield from (f"portal privileges, database {number}" for number in sorted({rule.database for rule in rules} or {1}))
    yield "portal privileges write"
    yield from (f"privileges[{number}]" for number, _ in enumerate(rules))
