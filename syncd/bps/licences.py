"""Licences: who holds which, how many seats there are, and one request that assigns and takes them.

``admin/licenses/assign`` takes any number of people at once and answers nothing. It refuses the whole request with 409
(the API document; the error page has 402 LicenseError as well) for an unknown account, one that is no user, or when
seats are lacking, without saying whom it minds. A refused request is halved down to single people, and for each of
them the portal is read:

1. The person's licences are as asked for: done (an earlier attempt arrived, or there was nothing to take).
2. The portal does not know the account: pending; a licence that was to be taken is gone with it.
3. A seat is lacking, or the portal has no such type, by the summary: short. Further people who need one of that type
   are not tried any more.
4. Several changes of that person are tried one by one, what is given first.
5. Otherwise failed, with the portal's reason.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

from syncd.bps.answers import is_divisible
from syncd.bps.client import BpsClient, make_path, parse_json
from syncd.bps.licence_records import encode_steps, parse_holder, parse_holders, parse_seats
from syncd.errors import NotFound, Rejected, RemoteError
from syncd.model.licence import LicenceHolder, LicenceList, Seats, Step, StepResult, is_settled, say_unoffered
from syncd.model.target import fold

_REFUSALS = frozenset({400, 402, 404, 409, 413})
_DONE = StepResult("done")


class Licences:
    """Reads and changes licences."""

    def __init__(self, client: BpsClient) -> None:
        self._client = client

    async def fetch_licences(self) -> LicenceList | None:
        """Read who holds which licences, in one request (it is not paged); None with perpetual licensing."""
        found = await self._read("/admin/licenses")
        return None if found is None else parse_holders(found)

    async def fetch_seats(self) -> tuple[Seats, ...] | None:
        """Read how many seats of each type there are and are assigned; None with perpetual licensing."""
        found = await self._read("/admin/licenses/summary")
        return None if found is None else parse_seats(found)

    async def change(self, steps: Sequence[Step]) -> tuple[StepResult, ...]:
        """Assign and take licences; one result per step, in the order given. See the head of this module."""
        people = [tuple(group) for _, group in groupby(steps, key=lambda step: fold(step.bps_id))]
        call = _Call(self)
        results = await call.settle(people)
        return tuple(result for person in people for result in _spread(person, results[fold(person[0].bps_id)]))

    async def send(self, people: Sequence[tuple[Step, ...]]) -> RemoteError | None:
        """Send one request; None when it was taken, else the refusal."""
        body = encode_steps([step for person in people for step in person])
        try:
            await self._client.send("POST", "/admin/licenses/assign", noun="licenses", body=body)
        except RemoteError as error:
            if not is_divisible(error, _REFUSALS):
                raise
            return error
        return None

    async def fetch_holder(self, bps_id: str) -> LicenceHolder | None:
        """Read one person's licences; None when the portal does not know the account."""
        try:
            return parse_holder(
                parse_json(await self._client.read(make_path("/admin/license", bps_id), noun="licenses"))
            )
        except NotFound:
            return None

    async def _read(self, path: str) -> Any | None:
        try:
            return parse_json(await self._client.read(path, noun="licenses"))
        except Rejected as error:
            if is_unsupported(error):
                return None
            raise


def is_unsupported(error: RemoteError) -> bool:
    """Return whether the portal has another licensing model, in which nobody assigns licences."""
    return error.code == "UnsupportedLicensingType"


@dataclass(slots=True)
class _Call:
    """One change of licences, from the first request to the last."""

    licences: Licences
    short: dict[str, str] = field(default_factory=dict)
    """Why nobody gets a licence of a type any more."""

    async def settle(self, people: Sequence[tuple[Step, ...]]) -> dict[str, StepResult]:
        refusal = await self.licences.send(people)
        return await self._narrow(people, refusal)

    async def _narrow(self, people: Sequence[tuple[Step, ...]], refusal: RemoteError | None) -> dict[str, StepResult]:
        if refusal is None:
            return {fold(person[0].bps_id): _DONE for person in people}
        if len(people) == 1:
            return {fold(people[0][0].bps_id): await self._explain(people[0], refusal)}
        found: dict[str, StepResult] = {}
        middle = len(people) // 2
        for part in (people[:middle], people[middle:]):
            hopeless = [person for person in part if self._find_lacking(person)]
            hopeful = [person for person in part if person not in hopeless]
            found.update(
                (fold(person[0].bps_id), StepResult("short", self._find_lacking(person))) for person in hopeless
            )
            if hopeful:
                found.update(await self._narrow(hopeful, await self.licences.send(hopeful)))
        return found

    def _find_lacking(self, person: tuple[Step, ...]) -> str:
        """Return why a person gets no licence now, as far as others were refused already."""
        return "; ".join(self.short[kind] for kind in _find_granted(person) if kind in self.short)

    async def _explain(self, person: tuple[Step, ...], refusal: RemoteError) -> StepResult:
        holder = await self.licences.fetch_holder(person[0].bps_id)
        if holder is None:
            if all(step.remove for step in person):
                return _DONE
            return StepResult("pending", "the portal does not show the account")
        if all(is_settled(step, holder) for step in person):
            return _DONE
        offered = {seats.type: seats for seats in await self.licences.fetch_seats() or ()}
        wanted = set(_find_granted(person)) - {licence.type for licence in holder.licences}
        if unknown := sorted(wanted - offered.keys()) if offered else []:
            self.short.update(dict.fromkeys(unknown, say_unoffered(unknown, offered)))
        self.short.update(
            (kind, f"no free seat of {kind}") for kind in wanted & offered.keys() if offered[kind].used_up
        )
        if lacking := self._find_lacking(person):
            return StepResult("short", lacking)
        if len(person) == 1:
            return StepResult("failed", str(refusal))
        return await self._send_singly(person)

    async def _send_singly(self, person: tuple[Step, ...]) -> StepResult:
        """Try the steps of one person one by one, what is given first: nobody loses a licence without the new one."""
        for step in sorted(person, key=lambda step: step.remove):
            refusal = await self.licences.send([(step,)])
            if refusal is None:
                continue
            holder = await self.licences.fetch_holder(step.bps_id)
            if holder is None or not is_settled(step, holder):
                return StepResult("failed", str(refusal))
        return _DONE


def _find_granted(person: tuple[Step, ...]) -> list[str]:
    return [step.type for step in person if not step.remove]


def _spread(person: tuple[Step, ...], result: StepResult) -> Iterator[StepResult]:
    """Give every step of a person its result: they are carried out together or not at all."""
    return (result for _ in person)
