"""The sandbox's control endpoint: what happens next, what is true, and what the clients did. Plain http on loopback.

==============================  ====================================================================================
``GET /state?what=W``           the truth: ``users``, ``groups`` (tenant), ``portal-users``, ``portal-groups``,
                                ``portal-privileges``, or nothing for the counts
``POST /change``                ``{"op": NAME, "count": 1, "target": "id, principal name or group name"}``; see
                                ``changes.operation_names``; answers what happened. ``portal-edit`` and the like
                                change the portal by hand and take more keys, see ``by_hand``
``POST /faults``                one fault or a list of them (keys as ``faults.Fault``); ``[]`` forgets all
``POST /knobs``                 ``{"tenant": {...}, "portal": {...}}`` (keys as ``knobs``); answers the present values
``POST /freeze``                ``{"reads": ["lists", "links", "singles", "counts"]}`` (none named: all): they go on
                                answering what is true now, while delta goes on; ``GET /freeze`` names the frozen ones
``POST /thaw``                  they answer the truth again
``POST /expire-checkpoints``    all delta links so far are too old
``POST /reset-checkpoints``     all delta links so far answer 410 with a Location
``POST /expire-tokens``         all bearer tokens so far are worthless
``POST /settle``                all pending portal writes are synchronised at once
``POST /backup``                ``{"name": "monday"}``: keep the portal's data as they are now
``POST /restore``               ``{"name": "monday"}``: play that backup back; the tenant goes on
``GET /ledger``                 counters, violations, resource units; ``?entries=100`` adds the last requests
``POST /ledger``                start counting anew
==============================  ====================================================================================

Errors are 400 with ``{"problems": [...]}``.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import asdict
from itertools import islice

import msgspec

from syncd.errors import ConfigError, RemoteError
from syncd.sandbox.portal.backups import Backups
from syncd.sandbox.portal.manual_edits import OPERATIONS, do_by_hand, parse_wish
from syncd.sandbox.portal.privileges import describe_privileges
from syncd.sandbox.portal.store import PortalStore
from syncd.sandbox.tenant.delta import DeltaEngine
from syncd.sandbox.tenant.directory import Directory
from syncd.sandbox.tenant.events import happen, operation_names
from syncd.sandbox.tenant.replicas import Replicas, parse_reads
from syncd.sandbox.wire.faults import Faults, parse_fault
from syncd.sandbox.wire.http import Answer, Request, Unreadable, read_json, read_number
from syncd.sandbox.wire.knobs import turn_knobs
from syncd.sandbox.wire.ledger import Ledger
from syncd.sandbox.wire.tokens import TokenBook

_MOST = 100_000
"""So many times something may happen in one request."""


class ControlService:
    """Answers on the control port."""

    def __init__(
        self,
        *,
        directory: Directory,
        engine: DeltaEngine,
        replicas: Replicas,
        portal: PortalStore,
        backups: Backups,
        book: TokenBook,
        faults: Faults,
        ledger: Ledger,
        seed: int,
    ) -> None:
        self._directory = directory
        self._replicas = replicas
        self._portal = portal
        self._backups = backups
        self._faults = faults
        self._ledger = ledger
        self._random = random.Random(f"control-{seed}")  # noqa: S311 - reproducible imitation
        self._actions: dict[str, Callable[[], None]] = {
            "expire-checkpoints": engine.expire_checkpoints,
            "reset-checkpoints": engine.reset_checkpoints,
            "expire-tokens": book.revoke_all,
            "settle": portal.settle,
            "ledger": ledger.clear,
        }

    def answer(self, request: Request) -> Answer:
        """Answer one request; whatever is wrong with it is named in ``problems``."""
        try:
            return _json(200, self._answer(request))
        except ConfigError as error:
            return _json(400, {"problems": list(error.problems)})
        except (RemoteError, Unreadable) as error:
            return _json(400, {"problems": [str(error)]})

    def _answer(self, request: Request) -> object:
        match request.method, request.path.strip("/"):
            case "GET", "state":
                return self._state(request.query.get("what", ""))
            case "POST", "change":
                return self._change(_read_object(request))
            case "POST", "faults":
                return self._plan_faults(read_json(request.body))
            case "POST", "knobs":
                return self._turn(_read_object(request))
            case "POST", "freeze":
                self._replicas.freeze(*parse_reads(_read_object(request)))
                return {"frozen": self._replicas.frozen}
            case "POST", "thaw":
                self._replicas.thaw(*parse_reads(_read_object(request)))
                return {"frozen": self._replicas.frozen}
            case "GET", "freeze":
                return {"frozen": self._replicas.frozen}
            case "POST", "backup":
                return self._backups.take(_read_name(request))
            case "POST", "restore":
                return self._backups.restore(_read_name(request))
            case "POST", name if name in self._actions:
                self._actions[name]()
                return {"done": name}
            case "GET", "ledger":
                wanted = read_number(request.query.get("entries", "0"))
                entries = islice(reversed(self._ledger.entries), wanted or 0)
                return {**self._ledger.summary(), "entries": [asdict(entry) for entry in entries]}
        raise ConfigError([f"{request.method} {request.path}: there is no such operation"])

    def _state(self, what: str) -> object:
        directory, portal = self._directory, self._portal
        match what:
            case "users":
                return [
                    {"id": u.id, "state": u.state, "manager": u.manager, **u.properties}
                    for u in directory.users
                    if u.state != "gone"
                ]
            case "groups":
                return [
                    {
                        "id": g.id,
                        "state": g.state,
                        "members": list(g.members),
                        "owners": list(g.owners),
                        **g.properties,
                    }
                    for g in directory.groups
                    if g.state != "gone"
                ]
            case "portal-users":
                return [
                    {
                        "bpsId": a.bps_id,
                        **a.values,
                        "type": a.account_type,
                        "origin": a.origin,
                        "active": a.active,
                        "status": portal.status_of(a),
                    }
                    for a in portal.accounts.values()
                ]
            case "portal-groups":
                return [
                    {
                        "bpsId": g.bps_id,
                        "name": g.name,
                        "email": g.email,
                        "origin": g.origin,
                        "status": portal.status_of(g),
                        "members": [portal.accounts[key].bps_id for key in g.members],
                        "owners": [portal.accounts[key].bps_id for key in g.owners],
                    }
                    for g in portal.groups.values()
                ]
            case "portal-privileges":
                return describe_privileges(portal)
            case "":
                return {
                    "users": sum(1 for _ in directory.active_users()),
                    "groups": sum(1 for _ in directory.active_groups()),
                    "memberships": sum(len(group.members) for group in directory.active_groups()),
                    "portal-users": len(portal.accounts),
                    "portal-groups": len(portal.groups),
                    "portal-memberships": sum(len(group.members) for group in portal.groups.values()),
                    "portal-privileges": len(portal.privileges),
                }
        raise ConfigError(
            [f"what: {what!r} is not one of users, groups, portal-users, portal-groups, portal-privileges"]
        )

    def _change(self, document: Mapping[str, object]) -> object:
        count, target = document.get("count", 1), document.get("target")
        if type(count) is not int or not 0 <= count <= _MOST or not (target is None or isinstance(target, str)):
            raise ConfigError([f"count: a number up to {_MOST}; target: a text"])
        name = str(document.get("op")).removesuffix("-many")
        if name in OPERATIONS:
            return do_by_hand(self._portal, self._random, parse_wish(name, document), count=count)
        if name not in operation_names():
            raise ConfigError([f"op: {name!r} is not one of {', '.join((*operation_names(), *OPERATIONS))}"])
        unknown = sorted(document.keys() - {"op", "count", "target"})
        if unknown:
            raise ConfigError([f"{key}: {name} has no such key (it has count and target)" for key in unknown])
        return happen(self._directory, self._random, name, count=count, target=target)

    def _plan_faults(self, document: object) -> object:
        planned = document if isinstance(document, list) else [document]
        faults = [parse_fault(_need_object(fault, "a fault is an object with a kind")) for fault in planned]
        if not planned:
            self._faults.clear()
        for fault in faults:
            self._faults.add(fault)
        return {"planned": len(faults)}

    def _turn(self, document: Mapping[str, object]) -> object:
        tenant, portal = self._directory.knobs, self._portal.knobs
        said = "knobs are an object with the keys tenant and portal, each an object"
        if document.keys() - {"tenant", "portal"}:
            raise ConfigError([said])
        changes = [_need_object(document.get(side, {}), said) for side in ("tenant", "portal")]
        turn_knobs(tenant, changes[0])
        turn_knobs(portal, changes[1])
        return {"tenant": asdict(tenant), "portal": asdict(portal)}


def _read_name(request: Request) -> str:
    document = _read_object(request)
    name = document.get("name", "backup")
    if document.keys() - {"name"} or not isinstance(name, str) or not name:
        raise ConfigError(["a backup has a name, and nothing else"])
    return name


def _read_object(request: Request) -> dict[str, object]:
    """Return the object that a body is; an empty one for no body. Raises ConfigError and Unreadable."""
    return _need_object(read_json(request.body) if request.body else {}, "the body is not a JSON object")


def _need_object(document: object, problem: str) -> dict[str, object]:
    if not isinstance(document, dict):
        raise ConfigError([problem])
    return document


def _json(status: int, document: object) -> Answer:
    return Answer(status, msgspec.json.encode(document), route="control")
