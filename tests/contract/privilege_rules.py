"""Rules about privileges for tests, every kind of portal that the facts leave possible, and what people do there."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from syncd.cli.commands.privileges import list_privileges
from syncd.plan.rules import PrivilegeRule
from syncd.sandbox.portal.places import Given
from syncd.store.store import Store
from tests.contract.office import Office

SWITCHES: tuple[dict[str, Any], ...] = (
    {},
    {"privilege_repeated": "conflict"},
    {"privilege_missing": "conflict"},
    {"privilege_repeated": "conflict", "privilege_missing": "conflict"},
    {"privilege_repeated": "any"},
    {"privilege_exclusive": True, "privilege_missing": "conflict"},
    {"privilege_pending": "accept"},
    {"privileges_list_groups": False},
    {"privileges_list_groups": False, "privilege_repeated": "conflict", "privilege_missing": "conflict"},
    {"deletion_clears_privileges": False},
    {"unknown_database_status": 404},
    {"case_matters": True},
    {"pending_visible": False},
)
LATE: tuple[dict[str, Any], ...] = (
    {"privilege_delay": 30.0},
    {"privilege_delay": 30.0, "privilege_repeated": "conflict"},
    {"privileges_shown_after": 600.0},
    {"privileges_shown_after": 600.0, "privilege_repeated": "conflict", "privilege_missing": "conflict"},
)
"""What takes effect, or is shown, some time after it was sent."""
RIGHTS: tuple[dict[str, Any], ...] = (
    {"privilege_rights": "administrator to write"},
    {"privilege_rights": "administrator"},
)
"""What it may take beside the scope."""


def rule(group: str = "Group g", level: str = "ReadOnly", **place: Any) -> PrivilegeRule:
    """Return a rule; by default for the application Invoices of database 1."""
    place = place or {"application": "Invoices"}
    (kind,) = [name for name in place if name in ("application", "process", "form_type")]
    return PrivilegeRule(
        group=group,
        database=place.get("database", 1),
        kind=kind,  # type: ignore[arg-type]
        place=place[kind],
        workflow=place.get("workflow", ""),
        level=level,
        company=place.get("company", ""),
    )


def say(office: Office, *rules: PrivilegeRule) -> None:
    """Set the rules. Without others about the groups: a licence for a group that is gone stops a run."""
    office.rules = replace(office.rules, privileges=rules, licences=())


def find_levels(office: Office, group: str = "g@grp") -> set[str]:
    """Return what a group has, as the portal knows it."""
    return {given.level for given in office.wire.store.privileges if given.key == group}


def give_by_hand(
    office: Office, level: str = "ReadOnly", *, group: str = "g@grp", application: str = "Invoices"
) -> Given:
    """Let somebody give a group something at an application, if it is not there."""
    (item,) = [one for one in office.wire.store.databases[1].applications if one.name == application]
    given = Given((1, "application", "", item.guid), office.wire.store.key(group), level)
    office.wire.store.privileges.setdefault(given, "local")
    return given


def tell(office: Office, group: str = "g@grp") -> dict[str | None, str]:
    """Return the state of each level of a group, as ``syncd privileges`` says it."""
    found = list_privileges(Store(office.database), office.rules)
    return {each["level"]: each["state"] for each in found if each["bps_id"] == group}


def refuse_writes(office: Office) -> None:
    """Take the scope for writes away; that for readings stays."""
    office.wire.application.scopes.discard("App.Metadata.ReadWrite")
    office.wire.application.scopes.add("App.Metadata.Read")
    office.wire.book.revoke_all()


def allow_writes(office: Office) -> None:
    """Grant the scope for writes."""
    office.wire.application.scopes.add("App.Metadata.ReadWrite")
    office.wire.book.revoke_all()
