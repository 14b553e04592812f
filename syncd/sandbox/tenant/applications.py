"""The application's own record: its secrets by hint, beginning and end, and no certificates.

``GET /applications(appId='…')`` and ``/applications/{id}``, "Get application" and the resource type passwordCredential.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from datetime import datetime, timedelta

import msgspec

from syncd.clock import Clock
from syncd.sandbox.login.service import Registration
from syncd.sandbox.tenant.odata import JSON_TYPE, refuse, refuse_missing
from syncd.sandbox.wire.http import Answer
from syncd.sandbox.wire.knobs import TenantKnobs


class Applications:
    """Answers for one application."""

    def __init__(self, registration: Registration, clock: Clock, knobs: TenantKnobs) -> None:
        self._registration = registration
        self._clock = clock
        self._knobs = knobs
        self._began = clock.now()
        self._id = str(uuid.uuid5(uuid.NAMESPACE_OID, registration.client_id))

    def answer(self, rest: Sequence[str], select: str | None) -> Answer:
        """Return the record of one application. Raises Refusal."""
        if len(rest) != 1:
            raise refuse(self._clock, 400, "BadRequest", "Only the own application can be read here, by its id.")
        name = rest[0]
        if name.lower() not in (self._id, f"appid={self._registration.client_id.lower()}"):
            raise refuse_missing(self._clock, name)
        record, names = self._make_record(), None if select is None else {"id", *select.split(",")}
        shown = {key: value for key, value in record.items() if names is None or key in names}
        return Answer(200, msgspec.json.encode(shown), JSON_TYPE, route="applications/{id}")

    def _make_record(self) -> dict[str, object]:
        ends_at = self._began + timedelta(days=self._knobs.secret_days)
        secrets = [
            {
                "customKeyIdentifier": None,
                "displayName": "syncd",
                "endDateTime": _format(ends_at),
                "hint": secret[:3] if self._knobs.secret_hint else None,
                "keyId": str(uuid.uuid5(uuid.NAMESPACE_OID, f"{self._registration.client_id} {number}")),
                "secretText": None,
                "startDateTime": _format(self._began - timedelta(days=10)),
            }
            for number, secret in enumerate(self._registration.secrets)
        ]
        return {
            "id": self._id,
            "appId": self._registration.client_id,
            "displayName": "syncd",
            "passwordCredentials": secrets,
            "keyCredentials": [],
        }


def _format(moment: datetime) -> str:
    """Return a time as Graph writes it, with seven digits behind the second."""
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond:06}0Z"
