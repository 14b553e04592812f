"""The state of a running sandbox, kept and put back: both sides as they were, without faults and with its own knobs.

Addresses, secrets and tokens stay: whoever was connected goes on. The ledger counts on.
"""

from __future__ import annotations

import pickle
from collections.abc import Collection, Iterator
from dataclasses import dataclass, fields

from syncd.sandbox.server import Sandbox
from syncd.sandbox.wire.knobs import PortalKnobs, TenantKnobs

_TENANT = ("objects", "users", "groups", "extensions", "_names", "log", "_random", "_links", "_late")
_PORTAL = ("accounts", "groups", "deleted", "privileges", "databases", "_random")
_ENGINE = ("serial", "dead_below", "reset_below", "_random")
_LICENCES = ("totals", "holders")
_SUBSTITUTIONS = ("entries", "_last")


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A state to be put back, as often as wanted."""

    state: bytes


def take_snapshot(sandbox: Sandbox) -> Snapshot:
    """Return the state of both sides as it is now. Planned faults and frozen replicas are no part of it."""
    parts: dict[str, object] = {
        part: {name: getattr(owner, name) for name in names} for part, owner, names in _list_parts(sandbox)
    }
    parts |= {
        "knobs": (sandbox.tenant_knobs, sandbox.portal_knobs),
        "registered": (
            sandbox.registration.tenant_id,
            sandbox.registration.roles,
            sandbox.portal_application.scopes,
        ),
    }
    return Snapshot(pickle.dumps(parts, protocol=pickle.HIGHEST_PROTOCOL))


def put_back(sandbox: Sandbox, snapshot: Snapshot, *, parts: Collection[str] = ()) -> None:
    """Let both sides be as they were; faults are forgotten, and replicas are up to date.

    ``parts``: only these, of tenant, portal, engine, licences and substitutions, and nothing else.
    """
    state = pickle.loads(snapshot.state)  # noqa: S301 - made by this process a moment ago
    for part, owner, names in _list_parts(sandbox):
        for name in names if not parts or part in parts else ():
            setattr(owner, name, state[part][name])
    sandbox.graph.engine.forget()
    service = sandbox.portal_service
    service.privileges.begin()
    if parts:
        return
    sandbox.faults.clear()
    sandbox.faults.watch = None
    sandbox.replicas.thaw()
    turn_back(sandbox, *state["knobs"])
    registration = sandbox.registration
    registration.tenant_id, registration.roles, sandbox.portal_application.scopes = state["registered"]


def turn_back(sandbox: Sandbox, tenant: TenantKnobs, portal: PortalKnobs) -> None:
    """Give every knob of both sides the value that it has in these."""
    for present, before in ((sandbox.tenant_knobs, tenant), (sandbox.portal_knobs, portal)):
        for knob in fields(present):
            setattr(present, knob.name, getattr(before, knob.name))


def _list_parts(sandbox: Sandbox) -> Iterator[tuple[str, object, tuple[str, ...]]]:
    """Yield what has a state, with the names of it."""
    service = sandbox.portal_service
    yield "tenant", sandbox.directory, _TENANT
    yield "portal", sandbox.portal, _PORTAL
    yield "engine", sandbox.graph.engine, _ENGINE
    yield "licences", service.licences, _LICENCES
    yield "substitutions", service.substitutions, _SUBSTITUTIONS
