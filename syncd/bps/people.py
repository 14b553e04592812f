"""Members and owners of a group, added and removed in batches.

The portal takes a batch as a whole or not at all and does not say which id it minds. A refused batch is narrowed down:

1. The group is read once. Ids that are already as wanted are done. A group that waits for synchronisation, or is gone,
   ends it for all ids.
2. The rest is halved until a refused part has at most eight ids. (One bad id among 500 costs some 20 requests.)
3. For adding, each user of such a part is read: one that the portal does not show, or that waits for synchronisation,
   is pending. The others are sent together, and one by one when that is refused as well.
4. An id that is refused alone although it is there is failed, with the portal's reason.

A gateway before the portal may refuse a batch for one of its ids, or for its size; it is narrowed down likewise. Where
twelve parts are refused by one and none has passed, it is the group that is refused, and that is raised.

An unclear answer is repeated by the door, since both calls may be repeated without harm. Removing somebody who is no
member may be refused (nothing documents it); the reading of step 1, and another one at the end, settle that.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass, field
from typing import Literal

from syncd.bps.answers import is_divisible
from syncd.bps.client import BpsClient, make_path
from syncd.bps.inventory import Inventory
from syncd.errors import Intercepted, NotFound, RemoteError
from syncd.model.target import GroupDetail, MembersResult, fold

Role = Literal["members", "owners"]
Verb = Literal["add", "remove"]

_SMALL = 8
_WALL = 12
_REFUSALS = frozenset({400, 404, 409, 413})


@dataclass(slots=True)
class _Sorting:
    """Where the ids of one call have ended up so far."""

    done: list[str] = field(default_factory=list)
    pending: list[str] = field(default_factory=list)
    failed: list[tuple[str, str]] = field(default_factory=list)


class People:
    """Adds and removes the people of groups."""

    def __init__(self, client: BpsClient, inventory: Inventory, *, per_request: int) -> None:
        self._client = client
        self._inventory = inventory
        self._per_request = per_request

    async def change(self, group_id: str, ids: Sequence[str], *, verb: Verb, role: Role) -> MembersResult:
        """Add or remove these people; every id ends up in exactly one part of the result, in the order given.

        Of ids that differ in case only, the first stands for all.
        Adding to a group that is gone raises NotFound; from such a group everybody is removed already. An error that
        ends the call names those who were done before it (`RemoteError.done`).
        """
        unique = list({fold(bps_id): bps_id for bps_id in reversed(ids)}.values())[::-1]
        call = _Call(self._client, self._inventory, group_id=group_id, verb=verb, role=role)
        sorting = _Sorting()
        try:
            for start in range(0, len(unique), self._per_request):
                await call.settle(unique[start : start + self._per_request], sorting)
            if not sorting.pending and not sorting.failed:
                return MembersResult(tuple(unique))
            await call.forgive(sorting)
        except RemoteError as error:
            error.done = frozenset(sorting.done)
            raise
        place = {bps_id: index for index, bps_id in enumerate(unique)}
        return MembersResult(
            tuple(sorted(sorting.done, key=place.__getitem__)),
            tuple(sorted(sorting.pending, key=place.__getitem__)),
            tuple(sorted(sorting.failed, key=lambda failure: place[failure[0]])),
        )


@dataclass(slots=True)
class _Call:
    """One change of one group, from the first request to the last."""

    client: BpsClient
    inventory: Inventory
    _: KW_ONLY
    group_id: str
    verb: Verb
    role: Role
    passed: bool = False
    intercepted: int = 0

    async def settle(self, ids: Sequence[str], sorting: _Sorting) -> None:
        """Send one batch, and sort out its ids when it is refused."""
        refusal = await self._send(ids)
        if refusal is None:
            sorting.done.extend(ids)
            return
        detail = await self.inventory.fetch_group(self.group_id)
        if detail is None:
            if self.verb == "add":
                raise NotFound("the group is gone from the portal", status=404) from refusal
            sorting.done.extend(ids)
            return
        present = self._ids_in(detail)
        rest = [bps_id for bps_id in ids if (fold(bps_id) in present) != (self.verb == "add")]
        sorting.done.extend(bps_id for bps_id in ids if (fold(bps_id) in present) == (self.verb == "add"))
        if detail.group.status == "WaitingForSynchronization":
            sorting.pending.extend(rest)
        elif len(rest) < len(ids):
            await self._narrow(rest, await self._send(rest) if rest else None, sorting)
        else:
            await self._narrow(rest, refusal, sorting)

    async def forgive(self, sorting: _Sorting) -> None:
        """Count a refused removal as done when a last reading no longer shows that person."""
        if self.verb == "add" or not sorting.failed:
            return
        detail = await self.inventory.fetch_group(self.group_id)
        present = frozenset[str]() if detail is None else self._ids_in(detail)
        sorting.done.extend(bps_id for bps_id, _ in sorting.failed if fold(bps_id) not in present)
        sorting.failed = [failure for failure in sorting.failed if fold(failure[0]) in present]

    async def _narrow(self, ids: Sequence[str], refusal: RemoteError | None, sorting: _Sorting) -> None:
        """Find the ids because of which a batch was refused."""
        if refusal is None:
            sorting.done.extend(ids)
        elif len(ids) > _SMALL:
            middle = len(ids) // 2
            for part in (ids[:middle], ids[middle:]):
                await self._narrow(part, await self._send(part), sorting)
        else:
            ready = await self._find_ready(ids, sorting) if self.verb == "add" else list(ids)
            if 0 < len(ready) < len(ids):
                refusal = await self._send(ready)
            if refusal is None:
                sorting.done.extend(ready)
            elif len(ready) == 1:
                sorting.failed.append((ready[0], str(refusal)))
            else:
                await self._send_singly(ready, sorting)

    async def _send_singly(self, ids: Sequence[str], sorting: _Sorting) -> None:
        for bps_id in ids:
            refusal = await self._send([bps_id])
            if refusal is None:
                sorting.done.append(bps_id)
            else:
                sorting.failed.append((bps_id, str(refusal)))

    async def _find_ready(self, ids: Sequence[str], sorting: _Sorting) -> list[str]:
        """Return the ids that the portal knows as users and has synchronised; the others are pending."""
        ready = []
        for bps_id in ids:
            account = await self.inventory.fetch_account(bps_id)
            if account is None or account.status == "WaitingForSynchronization":
                sorting.pending.append(bps_id)
            else:
                ready.append(bps_id)
        return ready

    async def _send(self, ids: Sequence[str]) -> RemoteError | None:
        """Send one batch; None when it was taken, else the refusal that another cut may cure."""
        body = {self.role: [{"bpsId": bps_id} for bps_id in ids]}
        path = make_path(f"/admin/group/{self.role}/{self.verb}", self.group_id)
        try:
            await self.client.send("POST", path, noun="groups", body=body)
        except RemoteError as error:
            self.intercepted += isinstance(error, Intercepted)
            if not is_divisible(error, _REFUSALS) or (self.intercepted >= _WALL and not self.passed):
                raise
            return error
        self.passed = True
        return None

    def _ids_in(self, detail: GroupDetail) -> frozenset[str]:
        return frozenset(
            fold(person.bps_id) for person in (detail.members if self.role == "members" else detail.owners)
        )
