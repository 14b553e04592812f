"""What is still open of somebody who left, and how it is known that somebody left, in words."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any

from syncd.model.history import LicenceTime, Links, RecordTime

HOW: Mapping[str, str] = {
    "told": "the tenant itself said of this very object that it is deleted",
    "confirmed": "two witnesses: it was missing from a complete reading, and a direct reading did not find it",
    "disabled": "the tenant says that the account is disabled (accountEnabled is false)",
    "out_of_scope": "what the tenant says of the person does not meet the scope any more",
    "": "not noted: it left before the history of this store began",
}
CAUSES: Mapping[str, str] = {"deleted": "deleted", "disabled": "disabled", "out_of_scope": "out of scope"}


def list_open(
    *,
    accounts: Iterable[RecordTime],
    links: Iterable[Links],
    licences: Iterable[LicenceTime],
    pending: Iterable[Mapping[str, Any]],
    policy: str,
    grace: timedelta,
) -> list[str]:
    """Return what is not done yet, a sentence each; none when everything is."""
    found: list[str] = []
    for account in accounts:
        if account.time.went is not None:
            continue
        if not account.leaving_as:
            found.append(f"no run has looked at the account {account.bps_id} since: it counts as active")
        elif policy == "delete":
            found.append(f"the account {account.bps_id} is to be deleted after the grace ({_say_due(account, grace)})")
    kept = ', and stays so by policy ("keep")' if policy == "keep" else ""
    found += [
        f"still {'a member' if link.object == 'membership' else 'an owner'} of {link.group}{kept}"
        for link in links
        if link.time.went is None
    ]
    found += [f"{each.bps_id} still has the licence {each.type}{kept}" for each in licences if each.time.went is None]
    for each in pending:
        target = f" {each['target']}" if each.get("target") else ""
        error = f" ({each['error']})" if each.get("error") else ""
        found.append(f"{each['action']} {each['object']} {each['bps_id']}{target} is {each['outcome']}{error}")
    return found


def _say_due(account: RecordTime, grace: timedelta) -> str:
    begun: datetime | None = account.time.came.at
    return "which began before this was noted" if begun is None else f"on {begun + grace:%Y-%m-%d}"
