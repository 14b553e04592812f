"""Whom a person means by a word: by id, login, BPS id or name, and never two at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from syncd.store.db.database import Database
    from syncd.store.reports.explain import Found


def find_object(database: Database, wanted: str) -> Found:
    """Return the one object of the tenant that bears this id, login, BPS id or whole name; a usage error otherwise."""
    from syncd.store.reports.explain import Explanations

    found = Explanations(database).find(wanted, in_part=False)
    if not found:
        raise click.UsageError(
            f"the store knows nobody and no group by '{wanted}': give the Entra id, the UPN, the BPS id or the exact "
            "display name ('syncd users TEXT' searches)"
        )
    if len(found) > 1:
        some = ", ".join(f"{each.kind} {each.id}" for each in found[:5])
        raise click.UsageError(f"'{wanted}' names {len(found)} objects ({some}); give the id of the one you mean")
    return found[0]
