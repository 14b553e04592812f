"""What ``syncd check`` tries about privileges: the scopes, what is shown to us, and each place that a rule names."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Literal

from syncd.errors import Forbidden, NotFound, RemoteError
from syncd.model.privilege import Place, Privilege
from syncd.plan.rules import PrivilegeRule
from syncd.sync.portal.places import Places, Unknown, Waits

if TYPE_CHECKING:
    from syncd.bps.portal import BpsPortal

Row = tuple[str, Literal["ok", "warning", "failed", "unknown"], str, str]
"""Name, status, detail and remedy."""

_SCOPE = "grant App.Metadata.ReadWrite to the API application (App.Metadata.Read alone reads)"
_NOWHERE = "00000000-0000-0000-0000-000000000000"


async def probe_privileges(portal: BpsPortal, rules: tuple[PrivilegeRule, ...], nobody: str) -> list[Row]:
    """Return a row per thing that was tried, changing nothing. ``nobody``: a BPS id that no record has."""
    found = [await _try_list(portal, database) for database in sorted({rule.database for rule in rules} or {1})]
    found.append(await _try_write(portal, nobody, min((rule.database for rule in rules), default=1)))
    places = Places(portal)
    for number, rule in enumerate(rules):
        found.append(await _try_rule(portal, places, number, rule))
    return found


async def _try_list(portal: BpsPortal, database: int) -> Row:
    name = f"portal privileges, database {database}"
    try:
        listed = await portal.list_places(database, "application")
    except Forbidden as error:
        return name, "warning", f"{error}; privileges wait, everything else is done", _SCOPE
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
        return name, "warning", f"{error}; privileges wait, everything else is done", _SCOPE
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
        return name, "warning", str(error), _SCOPE
    except RemoteError as error:
        return name, "unknown", str(error), ""
    if holders is None:
        return name, "failed", f"{privilege.place}: the portal has no such place", f"correct {name}"
    return name, "ok", f"{privilege}; {len(holders.bps_ids)} have something there", ""


def list_names(rules: tuple[PrivilegeRule, ...]) -> Iterator[str]:
    """Yield the names of all rows, for where nothing can be tried."""
    yield from (f"portal privileges, database {number}" for number in sorted({rule.database for rule in rules} or {1}))
    yield "portal privileges write"
    yield from (f"privileges[{number}]" for number, _ in enumerate(rules))
