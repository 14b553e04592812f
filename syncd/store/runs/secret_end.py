"""When the client secret of our application in the tenant ends, as its own record there told it last."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

import msgspec

from syncd.model.credential import SecretEnd
from syncd.store.db.markers import OWN_APPLICATION, load_markers, save_marker
from syncd.store.db.part import StorePart, in_thread

_KNOWN_FOR = timedelta(days=8)
"""After so long without another reading nobody knows whether the secret is still the same."""


@dataclass(frozen=True, slots=True)
class _Reading:
    """``application`` is empty when the record did not tell an end."""

    read_at: datetime
    application: str = ""
    ends_at: datetime | None = None


class SecretEnds(StorePart):
    """Keeps one reading."""

    @in_thread
    def is_due(self, *, now: datetime) -> bool:
        """Return whether the record was not looked at on this day (UTC)."""
        found = self._load()
        return found is None or found.read_at.date() != now.date()

    @in_thread
    def save(self, found: SecretEnd | None, *, now: datetime) -> None:
        """Remember what the record told; None: nothing."""
        made = _Reading(now) if found is None else _Reading(now, found.application, found.ends_at)
        with self._database.transaction() as connection:
            save_marker(connection, OWN_APPLICATION, msgspec.json.encode(made).decode())

    @in_thread
    def load(self, application: str, *, now: datetime) -> datetime | None:
        """Return when the secret of this application ends, None when that was not told of late."""
        found = self._load()
        if found is None or found.application != application or abs(now - found.read_at) > _KNOWN_FOR:
            return None
        return found.ends_at

    def _load(self) -> _Reading | None:
        text = load_markers(self._database, OWN_APPLICATION).get(OWN_APPLICATION)
        return msgspec.json.decode(text, type=_Reading) if text else None
