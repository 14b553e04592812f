"""Backups of the imitation portal: everything that its database holds, kept in memory and played back on request."""

from __future__ import annotations

from copy import deepcopy
from typing import TYPE_CHECKING, Any

from syncd.errors import ConfigError

if TYPE_CHECKING:
    from syncd.sandbox.portal.service import PortalService


class Backups:
    """Backups by name. Knobs, tokens and the ledger are no part of them: they belong to the server, not to its data."""

    def __init__(self, service: PortalService) -> None:
        self._service = service
        self._kept: dict[str, dict[str, Any]] = {}

    def take(self, name: str) -> dict[str, object]:
        """Keep the portal as it is now; a backup of the same name is replaced."""
        store, service = self._service.store, self._service
        self._kept[name] = deepcopy(
            {
                "accounts": store.accounts,
                "groups": store.groups,
                "deleted": store.deleted,
                "privileges": store.privileges,
                "holders": service.licences.holders,
                "substitutions": service.substitutions.entries,
            }
        )
        return {"kept": name, "users": len(store.accounts), "groups": len(store.groups)}

    def restore(self, name: str) -> dict[str, object]:
        """Let the portal be as it was then, as often as one likes. ConfigError for a name that was never given."""
        if name not in self._kept:
            known = ", ".join(sorted(self._kept)) or "none yet"
            raise ConfigError([f"name: there is no backup {name!r} (there are: {known})"])
        store, service, kept = self._service.store, self._service, deepcopy(self._kept[name])
        for there, then in (
            (store.accounts, kept["accounts"]),
            (store.groups, kept["groups"]),
            (store.deleted, kept["deleted"]),
            (store.privileges, kept["privileges"]),
            (service.licences.holders, kept["holders"]),
            (service.substitutions.entries, kept["substitutions"]),
        ):
            there.clear()
            there.update(then)
        return {"restored": name, "users": len(store.accounts), "groups": len(store.groups)}
