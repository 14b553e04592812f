"""Licences and substitutions of the imitation portal. Seats are limited, and an assigned seat outlives its user."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from syncd.sandbox.portal_store import PortalRefusal, PortalStore

LICENCE_TYPES = ("User", "PowerUser", "DesignerDeskUser", "SingleSolutionUser", "ExternalUser")


@dataclass(slots=True)
class Holder:
    """Who holds licences: type -> settings, kept after the account is gone."""

    bps_id: str
    name: str
    licences: dict[str, dict[str, object]] = field(default_factory=dict)


class Licences:
    """The licence pool: ``totals`` seats per type."""

    def __init__(self, store: PortalStore) -> None:
        self._store = store
        self.totals: dict[str, int] = dict.fromkeys(LICENCE_TYPES, 100)
        self.holders: dict[str, Holder] = {}

    def summary(self) -> dict[str, object]:
        """Return total and assigned seats per type."""
        return {
            "licenses": [
                {"license": kind, "total": self.totals[kind], "assigned": self._assigned(kind)}
                for kind in LICENCE_TYPES
            ]
        }

    def list_all(self) -> dict[str, object]:
        """Return everybody who holds a licence."""
        return {"assignedLicenses": [self._document(key, h) for key, h in self.holders.items() if h.licences]}

    def single(self, bps_id: str) -> dict[str, object]:
        """Return one person's licences; 404 for somebody who neither exists nor holds one."""
        key = bps_id.casefold()
        holder = self.holders.get(key)
        if holder is None:
            account = self._store.user(bps_id)
            holder = Holder(account.bps_id, account.values["name"] or "")
        return self._document(key, holder)

    def assign(self, body: Mapping[str, object]) -> None:
        """Take and give seats, all or nothing: 409 for unknown people, non-users and an exhausted pool."""
        before = {key: Holder(h.bps_id, h.name, dict(h.licences)) for key, h in self.holders.items()}
        try:
            for bps_id, kind, _ in _read_entries(body.get("removeLicenses")):
                self._take(bps_id, kind)
            for bps_id, kind, settings in _read_entries(body.get("assignLicenses")):
                self._give(bps_id, kind, settings)
        except PortalRefusal:
            self.holders = before
            raise

    def _take(self, bps_id: str, kind: str) -> None:
        holder = self.holders.get(bps_id.casefold())
        if holder is not None:
            holder.licences.pop(kind, None)
        elif bps_id.casefold() not in self._store.accounts:
            raise PortalRefusal(409, "ValidationError", "User does not exist")

    def _give(self, bps_id: str, kind: str, settings: dict[str, object]) -> None:
        account = self._store.accounts.get(bps_id.casefold())
        if account is None or not account.active:
            raise PortalRefusal(409, "ValidationError", "User does not exist")
        if account.account_type != "User":
            raise PortalRefusal(409, "ValidationError", "Account is not a user")
        holder = self.holders.setdefault(bps_id.casefold(), Holder(account.bps_id, account.values["name"] or ""))
        if kind not in holder.licences and self._assigned(kind) >= self.totals[kind]:
            raise PortalRefusal(409, "LicenseError", f"Not enough unused licenses of type {kind}")
        holder.licences[kind] = settings

    def _assigned(self, kind: str) -> int:
        return sum(kind in holder.licences for holder in self.holders.values())

    def _document(self, key: str, holder: Holder) -> dict[str, object]:
        return {
            "bpsId": holder.bps_id,
            "name": holder.name,
            "userIsDeleted": key not in self._store.accounts,
            "licenses": [{"type": kind, **settings} for kind, settings in sorted(holder.licences.items())],
        }


def _read_entries(wanted: object) -> list[tuple[str, str, dict[str, object]]]:
    entries = []
    for person in wanted if isinstance(wanted, list) else []:
        for licence in person.get("licenses") or []:
            settings = {k: v for k, v in licence.items() if k == "designerDeskSettings" and v is not None}
            if licence.get("type") not in LICENCE_TYPES or not isinstance(person.get("bpsId"), str):
                raise PortalRefusal(409, "ValidationError", "Invalid license entry")
            entries.append((person["bpsId"], licence["type"], settings))
    return entries


class Substitutions:
    """Who stands in for whom, and until when."""

    def __init__(self, store: PortalStore) -> None:
        self._store = store
        self.entries: dict[int, dict[str, object]] = {}
        self._last = 0

    def list_page(self, original: str | None, page: int, size: int) -> dict[str, object]:
        """Return one page (from 0) of the substitutions, of one person where named."""
        chosen = [
            entry
            for entry in self.entries.values()
            if original is None or _bps_id(entry.get("originalPerson")).casefold() == original.casefold()
        ]
        return {"substitutions": chosen[page * size : (page + 1) * size]}

    def single(self, number: int) -> dict[str, object]:
        """Return one substitution; 404 otherwise."""
        if number not in self.entries:
            raise PortalRefusal(404, "ResourceNotFound", "Substitution does not exist")
        return self.entries[number]

    def create(self, body: Mapping[str, object]) -> None:
        """Create a substitution: 409 for unknown people, a period that ends before it starts, or an unknown type."""
        self._last += 1
        self.entries[self._last] = self._checked(self._last, body)

    def edit(self, number: int, body: Mapping[str, object]) -> None:
        """Change the named parts of a substitution."""
        present = self.single(number)
        self.entries[number] = self._checked(number, {**present, **{k: v for k, v in body.items() if v is not None}})

    def delete(self, number: int) -> None:
        """End a substitution."""
        self.single(number)
        del self.entries[number]

    def _checked(self, number: int, body: Mapping[str, object]) -> dict[str, object]:
        people = {}
        for name in ("originalPerson", "substitutePerson"):
            account = self._store.accounts.get(_bps_id(body.get(name)).casefold())
            if account is None or account.account_type != "User":
                raise PortalRefusal(409, "ValidationError", f"{name} does not exist")
            people[name] = {"bpsId": account.bps_id, "name": account.values["name"]}
        if people["originalPerson"]["bpsId"] == people["substitutePerson"]["bpsId"]:
            raise PortalRefusal(409, "ValidationError", "A person cannot substitute himself")
        start, end = str(body.get("startDate")), str(body.get("endDate"))
        try:
            backwards = datetime.fromisoformat(end) < datetime.fromisoformat(start)
        except (ValueError, TypeError) as error:
            raise PortalRefusal(409, "ValidationError", "Invalid period") from error
        if backwards or body.get("type") not in ("TaskDelegation", "WorkingOnBehalf"):
            raise PortalRefusal(409, "ValidationError", "Invalid period or type")
        applications = body.get("activeApplications") or {"allApplications": True, "applications": [], "processes": []}
        entry = {"id": number, **people, "startDate": start, "endDate": end, "type": body["type"]}
        if body.get("businessEntity") is not None:
            entry["businessEntity"] = body["businessEntity"]
        return {**entry, "activeApplications": applications}


def _bps_id(person: object) -> str:
    return str(person.get("bpsId") or "") if isinstance(person, dict) else ""
