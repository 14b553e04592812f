"""Rules about privileges for tests, and every kind of portal that the facts leave possible."""

from __future__ import annotations

from typing import Any

from syncd.plan.rules import PrivilegeRule

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
