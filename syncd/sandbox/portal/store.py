"""The imitation portal's records: what the configuration store has at once, and what the synchronised view has later.

Every write is remembered at once and counts as synchronised after a delay; only a record that has been synchronised
once can be a member of a group. Rules come from WEBCON's API document and its users-and-groups list page; where they
are silent, ``PortalKnobs`` has a switch, also for whether BPS ids are compared without case. They keep the case first
written.
"""

from __future__ import annotations

import random
import re
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from syncd.clock import Clock
from syncd.errors import SyncdError
from syncd.sandbox.portal.moments import Moments
from syncd.sandbox.portal.places import Given, found_databases
from syncd.sandbox.wire.knobs import PortalKnobs

AccountType = Literal["User", "AdGroup", "ApiApplication"]
Origin = Literal["rest", "local", "builtin", "application"]
"""Of a record, who made it; of a privilege, ``rest`` by the API and ``local`` by hand."""
_FORBIDDEN = re.compile(r'[\\%&*+/=?{}|<>();:,\[\]"#\s]')
_WRITABLE = ("name", "email", "phoneNumber", "managerBpsId", "jobTitle")
_CLEARABLE = ("phoneNumber", "managerBpsId", "jobTitle")
_IDS = ("bpsId", "managerBpsId")
_CUT = 24
"""Characters that are kept of a value where the portal cuts them."""


class PortalRefusal(SyncdError):
    """The portal declines: status and ``type`` as in the error table of WEBCON's API."""

    def __init__(self, status: int, code: str, description: str) -> None:
        super().__init__(description)
        self.status = status
        self.code = code


@dataclass(slots=True, eq=False)
class Account:
    """One account. ``born_at`` is when it is first synchronised, ``ready_at`` when its last write is (monotonic)."""

    bps_id: str
    values: dict[str, str | None]
    account_type: AccountType = "User"
    origin: Origin = "rest"
    active: bool = True
    born_at: float = 0.0
    ready_at: float = 0.0


@dataclass(slots=True, eq=False)
class PortalGroup:
    """One BPS group; ``members`` and ``owners`` hold account keys in the order in which they were added."""

    bps_id: str
    name: str
    email: str
    origin: Origin = "rest"
    born_at: float = 0.0
    ready_at: float = 0.0
    members: dict[str, None] = field(default_factory=dict)
    owners: dict[str, None] = field(default_factory=dict)

    def links(self, relation: Literal["members", "owners"]) -> dict[str, None]:
        """Return the keys of one relation."""
        return self.members if relation == "members" else self.owners


class PortalStore:
    """All records of one portal. Every refusal is a PortalRefusal."""

    def __init__(self, knobs: PortalKnobs, *, clock: Clock, seed: int = 1) -> None:
        self.knobs = knobs
        self.clock = clock
        self.accounts: dict[str, Account] = {}
        self.groups: dict[str, PortalGroup] = {}
        self.deleted: dict[str, float] = {}
        self.databases = found_databases()
        self.privileges: dict[Given, Origin] = {}
        self.moments = Moments(clock)
        self._random = random.Random(f"portal-{seed}")  # noqa: S311 - reproducible imitation, not a secret

    def key(self, bps_id: str) -> str:
        """Return the form in which a BPS id is compared."""
        return bps_id if self.knobs.case_matters else bps_id.casefold()

    # ---- users

    def list_users(self) -> list[Account]:
        """Return the accounts that the user list shows, in order of creation."""
        return [account for account in self.accounts.values() if self._shows(account)]

    def user(self, bps_id: str) -> Account:
        """Return the account that GET shows; 404 otherwise."""
        account = self.accounts.get(self.key(bps_id))
        if account is None or not self._shows(account):
            raise PortalRefusal(404, "ResourceNotFound", "User does not exist")
        return account

    def create_user(self, body: Mapping[str, object]) -> Account:
        """Create a user: 400 for unusable values, 409 for a BPS id that anything in the portal bears."""
        values = self._read_values(body, ("bpsId", *_WRITABLE))
        bps_id = self._check_id(values.pop("bpsId", None))
        for name in ("name", "email"):
            if not values.get(name):
                raise PortalRefusal(400, "MissingRequiredBodyParameter", f"Parameter {name} is required")
        key = self.key(bps_id)
        if key in self.accounts or key in self.groups or self._is_tombstone(key):
            raise PortalRefusal(409, "ValidationError", "Selected bps id is already in use")
        if self._minds_manager(values.get("managerBpsId")):
            raise PortalRefusal(400, "InvalidBodyParameterValue", "Invalid value of managerBpsId")
        if self.knobs.creation_manager == "drop":
            values["managerBpsId"] = None
        self._check_manager(values.get("managerBpsId"), creating=True)
        ready = self._ready_at()
        account = Account(bps_id, {name: values.get(name) or None for name in _WRITABLE}, born_at=ready, ready_at=ready)
        self.accounts[key] = account
        return account

    def edit_user(self, bps_id: str, body: Mapping[str, object]) -> Account:
        """Change the named values of a user; absent ones stay, and how a value is cleared is a knob."""
        account = self._own(bps_id)
        wanted: dict[str, str | None] = {}
        for name, value in self._read_values(body, _WRITABLE).items():
            if value:
                wanted[name] = value
            elif name not in _CLEARABLE:
                if value == "":
                    raise PortalRefusal(
                        400, "InvalidBodyParameterValue", f"Setting empty string to {name} is not allowed"
                    )
            elif self.knobs.clearing == "refused" or (self.knobs.clearing == "null" and value == ""):
                raise PortalRefusal(400, "InvalidBodyParameterValue", f"Invalid value of {name}")
            elif self.knobs.clearing in ("both", "null" if value is None else "empty"):
                wanted[name] = None
        self._check_manager(wanted.get("managerBpsId"), creating=False)
        account.values.update(wanted)
        account.ready_at = self._ready_at()
        return account

    def delete_user(self, bps_id: str) -> None:
        """Remove a user for good; whether from all groups as well is a knob. References to it as a manager stay."""
        key = self.key(self._own(bps_id).bps_id)
        del self.accounts[key]
        for group in self.groups.values() if self.knobs.deletion_clears_places else ():
            group.members.pop(key, None)
            group.owners.pop(key, None)
        self.deleted[key] = self.clock.monotonic()
        self._forget_privileges(key)

    # ---- groups

    def list_groups(self) -> list[PortalGroup]:
        """Return the groups that the group list shows, in order of creation."""
        return [group for group in self.groups.values() if self.knobs.pending_visible or self.is_born(group)]

    def group(self, bps_id: str) -> PortalGroup:
        """Return the group that GET shows; 404 otherwise."""
        group = self.groups.get(self.key(bps_id))
        if group is None or not (self.knobs.pending_visible or self.is_born(group)):
            raise PortalRefusal(404, "ResourceNotFound", "Group does not exist")
        return group

    def create_group(self, body: Mapping[str, object]) -> PortalGroup:
        """Create a group, with members and owners where they are named: all or nothing."""
        links = {name: body.get(name) for name in ("members", "owners")}
        values = self._read_values({k: v for k, v in body.items() if k not in links}, ("bpsId", "name", "email"))
        bps_id = self._check_id(values.get("bpsId"))
        name, email = values.get("name"), values.get("email")
        if not name or not email:
            raise PortalRefusal(400, "MissingRequiredBodyParameter", "Parameters name and email are required")
        key = self.key(bps_id)
        if key in self.groups or key in self.accounts:
            if self.knobs.duplicate_group_status == 405:
                raise PortalRefusal(405, "UnsupportedOperation", "Selected bpsId already exist")
            raise PortalRefusal(409, "ValidationError", "Conflict")
        members, owners = (self._read_links(links[name] or []) for name in ("members", "owners"))
        ready = self._ready_at()
        group = PortalGroup(bps_id, name, email, born_at=ready, ready_at=ready)
        group.members, group.owners = dict.fromkeys(members), dict.fromkeys(owners)
        self.groups[key] = group
        return group

    def edit_group(self, bps_id: str, body: Mapping[str, object]) -> None:
        """Change name or email of a group; empty values are refused."""
        group = self._existing_group(bps_id)
        values = self._read_values(body, ("name", "email"))
        if any(value == "" for value in values.values()):
            raise PortalRefusal(
                400,
                "InvalidBodyParameterValue",
                "Invalid body request. Setting empty string to name or email is not allowed",
            )
        group.name = values.get("name") or group.name
        group.email = values.get("email") or group.email
        group.ready_at = self._ready_at()

    def delete_group(self, bps_id: str) -> None:
        """Remove a group for good."""
        key = self.key(self._existing_group(bps_id).bps_id)
        del self.groups[key]
        self._forget_privileges(key)

    def add_links(self, bps_id: str, relation: Literal["members", "owners"], wanted: object) -> None:
        """Add members or owners, all or none: 409 when one is unknown, not synchronised yet, or of a wrong type."""
        group = self.groups.get(self.key(bps_id))
        if group is None or not self.is_born(group):
            raise PortalRefusal(409, "ValidationError", "At least one of BpsId does not exist")
        keys = self._read_links(wanted)
        if not self.knobs.links_lost:
            group.links(relation).update(dict.fromkeys(keys))

    def remove_links(self, bps_id: str, relation: Literal["members", "owners"], wanted: object) -> None:
        """Remove members or owners; whether a stranger is refused is a knob."""
        group = self.groups.get(self.key(bps_id))
        if group is None:
            status, code = (404, "ResourceNotFound") if relation == "members" else (409, "ValidationError")
            raise PortalRefusal(status, code, "Selected group does not exist")
        keys = [self.key(bps) for bps in _read_ids(wanted)]
        links = group.links(relation)
        if self.knobs.remove_non_member == "conflict" and any(key not in links for key in keys):
            raise PortalRefusal(409, "ValidationError", "At least one of BpsId is not in the group")
        for key in keys:
            links.pop(key, None)

    # ---- states

    def is_born(self, record: Account | PortalGroup) -> bool:
        """Return whether the record has ever reached the synchronised view."""
        return self.clock.monotonic() >= record.born_at

    def status_of(self, record: Account | PortalGroup) -> str:
        """Return the record's status as the API names it."""
        return "Synchronized" if self.clock.monotonic() >= record.ready_at else "WaitingForSynchronization"

    def settle(self) -> None:
        """Let every pending write be synchronised at once."""
        for account in self.accounts.values():
            account.born_at = account.ready_at = 0.0
        for group in self.groups.values():
            group.born_at = group.ready_at = 0.0

    # ---- inside

    def _forget_privileges(self, key: str) -> None:
        if self.knobs.deletion_clears_privileges:
            for given in [given for given in self.privileges if given.key == key]:
                del self.privileges[given]

    def _ready_at(self) -> float:
        return self.clock.monotonic() + self._random.uniform(self.knobs.sync_delay_min, self.knobs.sync_delay_max)

    def _shows(self, account: Account) -> bool:
        if account.account_type == "AdGroup" or not account.active:
            return False
        if account.origin == "builtin" and not self.knobs.builtin_visible:
            return False
        if account.account_type == "ApiApplication" and not self.knobs.applications_visible:
            return False
        return self.knobs.pending_visible or self.is_born(account)

    def _own(self, bps_id: str) -> Account:
        account = self.user(bps_id)
        if account.origin in ("builtin", "application"):
            raise PortalRefusal(405, "UnsupportedOperation", "Operation is available for external users only")
        return account

    def _existing_group(self, bps_id: str) -> PortalGroup:
        group = self.groups.get(self.key(bps_id))
        if group is None:
            raise PortalRefusal(404, "ResourceNotFound", "Selected group does not exist")
        return group

    def _is_tombstone(self, key: str) -> bool:
        return key in self.deleted and self.clock.monotonic() < self.deleted[key] + self.knobs.tombstone

    def _check_id(self, bps_id: str | None) -> str:
        if not bps_id:
            raise PortalRefusal(400, "MissingRequiredBodyParameter", "Parameter bpsId is required")
        local, at, domain = bps_id.partition("@")
        if not (local and at and domain) or "@" in domain or _FORBIDDEN.search(bps_id):
            raise PortalRefusal(400, "InvalidBodyParameterValue", "BpsId must have UPN format")
        return bps_id

    def _minds_manager(self, bps_id: str | None) -> bool:
        """Return whether a creation that names this manager is refused for it."""
        if not bps_id or self.knobs.creation_manager in ("take", "drop"):
            return False
        account = self.accounts.get(self.key(bps_id))
        return self.knobs.creation_manager == "refuse" or (account is not None and not self.is_born(account))

    def _check_manager(self, bps_id: str | None, *, creating: bool) -> None:
        if not bps_id or self.knobs.unknown_manager == "accept" or self.key(bps_id) in self.accounts:
            return
        if self.knobs.unknown_manager == "conflict" and creating:
            raise PortalRefusal(409, "ValidationError", "Manager does not exist")
        raise PortalRefusal(400, "InvalidBodyParameterValue", "Manager does not exist")

    def _read_values(self, body: Mapping[str, object], names: Iterable[str]) -> dict[str, str | None]:
        """Return the named text values of a body; 400 for other types, over-long and (a knob) unknown properties."""
        known = tuple(names)
        values: dict[str, str | None] = {}
        for name, value in body.items():
            if name not in known:
                if self.knobs.unknown_property == "refuse":
                    raise PortalRefusal(400, "InvalidBodyParameterValue", f"Unknown property {name}")
                continue
            if value is not None and not isinstance(value, str):
                raise PortalRefusal(400, "InvalidBodyParameterValue", f"Invalid value of {name}")
            if value is not None and 0 < self.knobs.max_length < len(value):
                raise PortalRefusal(400, "InvalidBodyParameterValue", f"Value of {name} is too long")
            values[name] = value if value is None or name in _IDS else _spell(value, self.knobs.spelling)
        return values

    def _read_links(self, wanted: object) -> list[str]:
        keys = [self.key(bps) for bps in _read_ids(wanted)]
        for key in keys:
            account = self.accounts.get(key)
            if key in self.groups or (account is not None and account.account_type == "ApiApplication"):
                raise PortalRefusal(
                    409, "ValidationError", "Only account of type User or AdGroup can be added to a group"
                )
            if account is None or not account.active or not self.is_born(account):
                raise PortalRefusal(409, "ValidationError", "At least one of BpsId does not exist")
        return keys


def _spell(value: str, spelling: str) -> str:
    """Return a value as the portal keeps it; one that would be lost altogether stays as it is."""
    kept = {
        "trimmed": " ".join(value.split()),
        "lower": value.lower(),
        "cut": value[:_CUT].rstrip(),
        "composed": unicodedata.normalize("NFC", value),
        "decomposed": unicodedata.normalize("NFD", value),
    }
    return kept.get(spelling, value) or value


def _read_ids(wanted: object) -> list[str]:
    if not isinstance(wanted, list):
        raise PortalRefusal(400, "InvalidInput", "A list is required")
    ids = [entry.get("bpsId") if isinstance(entry, dict) else None for entry in wanted]
    if not all(isinstance(bps_id, str) and bps_id for bps_id in ids):
        raise PortalRefusal(400, "InvalidBodyParameterValue", "Parameter bpsId is required")
    return [str(bps_id) for bps_id in ids]
