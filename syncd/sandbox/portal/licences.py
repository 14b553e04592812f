"""Licences and substitutions of the imitation portal. Seats are limited, and an assigned seat outlives its user."""

from __future__ import annotations

import copy
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from syncd.sandbox.portal.store import PortalRefusal, PortalStore

_SETTINGS = {"DesignerDeskUser": "designerDeskSettings", "SingleSolutionUser": "singleSolutionSettings"}
_DESIGNER = ("allowDesignerDeskProjectCreation", "allowDesignerDeskProjectPublishing")

Settings = dict[str, Any]


@dataclass(slots=True)
class Holder:
    """Who holds licences: type -> settings, kept after the account is gone."""

    bps_id: str
    name: str
    licences: dict[str, Settings] = field(default_factory=dict)


class Licences:
    """The licence pool: the knob ``seats`` of each type, or what ``totals`` says."""

    def __init__(self, store: PortalStore) -> None:
        self._store = store
        self.totals: dict[str, int] = {}
        self.holders: dict[str, Holder] = {}

    def summary(self) -> dict[str, object]:
        """Return total and assigned seats per type."""
        return {
            "licenses": [
                {"license": kind, "total": self._total(kind), "assigned": self._assigned(kind)}
                for kind in self._offered()
            ]
        }

    def list_all(self) -> dict[str, object]:
        """Return everybody who holds a licence."""
        all_of_them = self._store.knobs.removed_holders_listed
        return {
            "assignedLicenses": [
                self._document(key, holder)
                for key, holder in self.holders.items()
                if holder.licences and (all_of_them or key in self._store.accounts)
            ]
        }

    def single(self, bps_id: str) -> dict[str, object]:
        """Return one person's licences; 404 for somebody who neither exists nor holds one."""
        key = self._store.key(bps_id)
        holder = self.holders.get(key)
        if holder is None:
            account = self._store.user(bps_id)
            holder = Holder(account.bps_id, account.values["name"] or "")
        return self._document(key, holder)

    def assign(self, body: Mapping[str, object]) -> None:
        """Take and give seats: 409 for unknown people, non-users and an exhausted pool."""
        knobs = self._store.knobs
        before = {key: Holder(h.bps_id, h.name, copy.deepcopy(h.licences)) for key, h in self.holders.items()}
        sides: list[tuple[Callable[[str, str, Settings], None], object]] = [
            (self._take, body.get("removeLicenses")),
            (self._give, body.get("assignLicenses")),
        ]
        try:
            for act, people in sides if knobs.licence_removes_first else reversed(sides):
                for bps_id, kind, settings in _read_entries(people, self._offered()):
                    act(bps_id, kind, settings)
        except PortalRefusal:
            if knobs.licence_all_or_nothing:
                self.holders = before
            raise

    def _take(self, bps_id: str, kind: str, settings: Settings) -> None:
        holder = self.holders.get(self._store.key(bps_id))
        if holder is None and self._store.key(bps_id) not in self._store.accounts:
            raise PortalRefusal(409, "ValidationError", "User does not exist")
        if holder is None or kind not in holder.licences:
            if self._store.knobs.licence_repeated == "conflict":
                raise PortalRefusal(409, "ValidationError", "License is not assigned")
            return
        present = holder.licences[kind]
        if kind == "SingleSolutionUser" and settings and not settings.get("allProcesses"):
            gone = settings.get("processes") or []
            present["processes"] = [
                process for process in present.get("processes", []) if not any(_same(process, other) for other in gone)
            ]
            if present["processes"]:
                return
        del holder.licences[kind]

    def _give(self, bps_id: str, kind: str, settings: Settings) -> None:
        knobs = self._store.knobs
        account = self._store.accounts.get(self._store.key(bps_id))
        if account is None or not account.active:
            raise PortalRefusal(409, "ValidationError", "User does not exist")
        if account.account_type != "User":
            raise PortalRefusal(409, "ValidationError", "Account is not a user")
        if knobs.licence_pending == "refuse" and not self._store.is_born(account):
            raise PortalRefusal(409, "ValidationError", "User does not exist")
        holder = self.holders.setdefault(self._store.key(bps_id), Holder(account.bps_id, account.values["name"] or ""))
        present = holder.licences.get(kind)
        if present is None and self._assigned(kind) >= self._total(kind):
            raise PortalRefusal(knobs.no_seat_status, "LicenseError", f"Not enough unused licenses of type {kind}")
        if present is not None and knobs.licence_repeated == "conflict" and present == settings:
            raise PortalRefusal(409, "ValidationError", "License is already assigned")
        if kind == "SingleSolutionUser" and present is not None and knobs.licence_processes == "add":
            known = present.get("processes", [])
            fresh = [one for one in settings.get("processes") or [] if not any(_same(one, other) for other in known)]
            settings = {"processes": [*known, *fresh]}
        if knobs.licence_exclusive:
            holder.licences.clear()
        holder.licences[kind] = settings

    def _offered(self) -> list[str]:
        return [kind.strip() for kind in self._store.knobs.licence_types.split(",")]

    def _total(self, kind: str) -> int:
        return self.totals.get(kind, self._store.knobs.seats)

    def _assigned(self, kind: str) -> int:
        return sum(kind in holder.licences for holder in self.holders.values())

    def _document(self, key: str, holder: Holder) -> dict[str, object]:
        return {
            "bpsId": holder.bps_id,
            "name": holder.name,
            "userIsDeleted": key not in self._store.accounts,
            "licenses": [
                {"type": kind, **self._show(kind, settings)} for kind, settings in sorted(holder.licences.items())
            ],
        }

    def _show(self, kind: str, settings: Settings) -> Settings:
        name = _SETTINGS.get(kind)
        if name is None or not self._store.knobs.licence_settings_shown:
            return {}
        if kind == "DesignerDeskUser":
            return {name: {flag: bool(settings.get(flag)) for flag in _DESIGNER}}
        processes = settings.get("processes", [])
        return {name: {"processes": [{"id": 0, "guid": None, **one, "name": "A process"} for one in processes]}}


def _read_entries(wanted: object, offered: Collection[str]) -> list[tuple[str, str, Settings]]:
    """Return (BPS id, type, settings) of every entry; 400 for what has another shape, 409 for an unknown type."""
    entries = []
    for person in _read_list(wanted, "licenses"):
        bps_id = person.get("bpsId")
        if not isinstance(bps_id, str):
            raise PortalRefusal(400, "InvalidBodyParameterValue", "Parameter bpsId is required")
        for licence in _read_list(person.get("licenses"), "licenses"):
            kind = licence.get("type")
            if not isinstance(kind, str) or kind not in offered:
                raise PortalRefusal(409, "ValidationError", "Invalid license entry")
            wrong = [name for other, name in _SETTINGS.items() if other != kind and licence.get(name) is not None]
            if wrong:
                raise PortalRefusal(400, "InvalidBodyParameterValue", f"{wrong[0]} does not belong to {kind}")
            entries.append((bps_id, kind, _read_settings(licence.get(_SETTINGS.get(kind, "")))))
    return entries


def _read_settings(settings: object) -> Settings:
    """Return the settings of a licence; 400 when they, or the processes among them, have another shape."""
    if settings is None:
        return {}
    if not isinstance(settings, dict):
        raise PortalRefusal(400, "InvalidBodyParameterValue", "Settings must be an object")
    read = dict(settings)
    if "processes" in read:
        read["processes"] = _read_list(read["processes"], "processes")
    return read


def _read_list(value: object, name: str) -> list[dict[str, Any]]:
    """Return a list of objects, none for null; 400 for anything else."""
    if value is None:
        return []
    if not isinstance(value, list) or not all(isinstance(entry, dict) for entry in value):
        raise PortalRefusal(400, "InvalidBodyParameterValue", f"{name} must be a list of objects")
    return value


def _same(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Return whether two entries mean one process."""
    if one.get("dbId") != other.get("dbId"):
        return False
    return any(one.get(name) and one.get(name) == other.get(name) for name in ("id", "guid"))


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
            if original is None or self._store.key(_bps_id(entry.get("originalPerson"))) == self._store.key(original)
        ]
        return {"substitutions": chosen[page * size : (page + 1) * size]}

    def single(self, number: int) -> dict[str, object]:
        """Return one substitution; 404 otherwise."""
        if number not in self.entries:
            raise PortalRefusal(404, "ResourceNotFound", "Substitution does not exist")
        return self.entries[number]

    def create(self, body: Mapping[str, object]) -> int:
        """Create a substitution and return its number.

        409 for unknown people, a period that ends before it starts, or an unknown type.
        """
        self.entries[self._last + 1] = self._checked(self._last + 1, body)
        self._last += 1
        return self._last

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
            account = self._store.accounts.get(self._store.key(_bps_id(body.get(name))))
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
