"""What an explanation says of the future of a person or group, and the names of the groups in it: printed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from syncd.cli.screen.names import OF_GROUPS
from syncd.cli.screen.output import print_line

if TYPE_CHECKING:
    from syncd.store.db.database import Database


def print_steps(steps: Sequence[Mapping[str, str]]) -> None:
    """Print what happens next, and what a person can do."""
    for step in steps:
        print_line(f"Next: {step['happens']}")
        if step["do"]:
            print_line(f"  you can: {step['do']}")


def load_names(database: Database, document: Mapping[str, Any]) -> dict[str, str]:
    """Return the names of all groups of the portal that an explanation mentions, by their BPS ids."""
    from syncd.store.inventory.bps_ids import load_group_names

    return load_group_names(database, set(_iterate_group_ids(document)))


def _iterate_group_ids(document: Mapping[str, Any]) -> Iterator[str]:
    target = document["target"]
    for record in [target, *target["other_records"]] if target else []:
        yield from (*(record.get("groups") or ()), *(record.get("owns") or ()))
        yield from (item[side] for item in record["by_hand"] for side in ("ours", "theirs") if item[side])
    for entry in (*document["pending"], *document["outcomes"], *document["rejected"]):
        if entry["object"] in OF_GROUPS:
            yield entry["bps_id"]


def name_id(bps_id: str | None, names: Mapping[str, str]) -> str | None:
    """Return a BPS id with the name of its group beside it, where it has one."""
    name = names.get(bps_id or "")
    return f"{bps_id} ({name})" if name else bps_id
