"""One idempotent write per change to users and groups. An unclear answer is settled by reading, not by hope.

How a creation ends (POST has no idempotency key, and a portal shows a record only some seconds after it took it):

=========================  ==========================================  ================================
the portal answers         and a reading then shows                    the creation
=========================  ==========================================  ================================
200                        (not read)                                  CREATED
409; groups also 405       a record                                    EXISTS
409; groups also 405       nothing                                     Conflict: an invisible record has the id
unclear                    our values / other values                   SETTLED / EXISTS
unclear                    nothing                                     sent again, a bounded number of times
refused by a gateway       nothing                                     Intercepted: it may be there, not shown yet
409 or 405 after busy      our values / other values                   SETTLED / EXISTS
409 or 405 after busy      nothing, also some seconds later            Conflict: an invisible record has the id
409 or 405 after unclear   our values / other values                   SETTLED / EXISTS
409 or 405 after unclear   nothing, also some seconds later            Conflict: it may be ours, not shown yet
=========================  ==========================================  ================================

Busy: 423, 429, 503, or a 401 for an old token, after which the request was sent again. They say that nothing was done,
but not everybody who says so (a gateway, a maintenance page) can know. Unclear: no answer, a 500, 502, 504, a redirect,
or a web page in place of the API's answer.

A duplicate that nobody shows is never taken for ours: it may as well be a stranger's who is not shown. What was sent is
remembered instead, and the record is known by its values when it turns up.

An error that ends a creation says in ``sent`` whether the record may be there nevertheless.
"""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Literal

from syncd.bps.answers import NAME, UNTOUCHABLE, BareNotFound
from syncd.bps.clearing import Clearing
from syncd.bps.client import BpsClient, make_path
from syncd.bps.inventory import Inventory
from syncd.bps.records import encode_account, encode_fields
from syncd.clock import Clock
from syncd.errors import UNCLEAR, Conflict, Intercepted, NotFound, PermanentError, Rejected, RemoteError, Unavailable
from syncd.model.target import ACCOUNT_FIELDS, GROUP_FIELDS, Account, Creation, Fields, PortalGroup, fold

_ATTEMPTS = 3
"""How often one creation is sent when the answers stay unclear."""

_BACKOFF = 0.5
"""Seconds before the second attempt; doubled for each further one, with as much jitter again."""

_READ_AFTER = (0.5, 1.0, 2.0, 4.0, 8.0)
"""Seconds before each further reading of a record that a refused attempt may have made and nobody shows yet."""

_REQUIRED = frozenset({"name", "email"})
"""Fields that the portal never lets be empty."""

Sighting = Literal["ours", "other", "nothing"]
"""What a reading shows of a record that we may have created."""


@dataclass(slots=True)
class _Progress:
    """What is known of a creation on its way. ``unclear``: one of its requests may have taken effect."""

    unclear: bool


class Writes:
    """Creates, changes and deletes users and groups."""

    def __init__(
        self,
        client: BpsClient,
        inventory: Inventory,
        *,
        clearing: Clearing,
        clock: Clock,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._client = client
        self._inventory = inventory
        self._clearing = clearing
        self._clock = clock
        self._jitter = jitter

    async def create_account(self, account: Account, *, sent_before: bool) -> Creation:
        """Create a user; see the table above. ``sent_before`` starts with a reading, as after an unclear answer."""

        async def look() -> Sighting:
            found = await self._inventory.fetch_account(account.bps_id)
            return "nothing" if found is None else _compare(found, account, ACCOUNT_FIELDS)

        async def post() -> None:
            await self._client.send(
                "POST", "/admin/users", noun="users", body=encode_account(account), repeatable="refused"
            )

        return await self._create(post, look, unclear=sent_before, taken=(409,))

    async def create_group(self, group: PortalGroup, *, sent_before: bool) -> Creation:
        """Create a group without members; see the table above."""

        async def look() -> Sighting:
            found = await self._inventory.fetch_group(group.bps_id)
            return "nothing" if found is None else _compare(found.group, group, GROUP_FIELDS)

        async def post() -> None:
            body: dict[str, object] = {
                "bpsId": group.bps_id,
                "name": group.name,
                "email": group.email,
                "members": [],
                "owners": [],
            }
            await self._client.send("POST", "/admin/groups", noun="groups", body=body, repeatable="refused")

        return await self._create(post, look, unclear=sent_before, taken=(409, 405))

    async def update_account(self, bps_id: str, fields: Fields) -> None:
        """Set the given fields, None clears; NotFound when the user is gone.

        Rejected when a field cannot be cleared (``clearing``) or must not be empty; all other fields are written.
        """
        body = {name: value for name, value in fields.items() if value}
        unlearned = []
        for name in (name for name, value in fields.items() if not value):
            _refuse_clearing_required(name)
            manner = self._clearing.manners.get(name)
            if manner is None:
                unlearned.append(name)
            else:
                body[name] = manner.value
        if body:
            await self._patch("/admin/user", bps_id, body)
        refused: Rejected | None = None
        for name in unlearned:
            try:
                await self._clearing.clear_unlearned(bps_id, name)
            except Rejected as error:
                refused = refused or error
        if refused is not None:
            raise refused

    async def update_group(self, bps_id: str, fields: Fields) -> None:
        """Set name or email; NotFound when the group is gone, Rejected for an empty value."""
        for name, value in fields.items():
            if not value:
                _refuse_clearing_required(name)
        if fields:
            await self._patch("/admin/group", bps_id, fields)

    async def delete_account(self, bps_id: str) -> None:
        """Delete a user; one that is gone already is a success."""
        await self._delete("/admin/user", bps_id)

    async def delete_group(self, bps_id: str) -> None:
        """Delete a group; one that is gone already is a success."""
        await self._delete("/admin/group", bps_id)

    async def _create(
        self,
        post: Callable[[], Awaitable[None]],
        look: Callable[[], Awaitable[Sighting]],
        *,
        unclear: bool,
        taken: tuple[int, ...],
    ) -> Creation:
        progress = _Progress(unclear)
        try:
            return await self._try_to_create(post, look, progress, taken)
        except RemoteError as error:
            error.sent = progress.unclear
            raise

    async def _try_to_create(
        self,
        post: Callable[[], Awaitable[None]],
        look: Callable[[], Awaitable[Sighting]],
        progress: _Progress,
        taken: tuple[int, ...],
    ) -> Creation:
        if progress.unclear and (seen := await look()) != "nothing":
            return _settle(seen)
        for attempt in range(_ATTEMPTS):
            try:
                await post()
            except UNCLEAR as error:
                if not error.sent:
                    raise
                progress.unclear = True
                if (seen := await look()) != "nothing":
                    return _settle(seen)
                refused = isinstance(error, Intercepted) and (error.status or 0) >= 400
                if refused or attempt == _ATTEMPTS - 1:  # a gateway would say the same again
                    raise
            except PermanentError as error:
                if error.status == 404:  # no answer of the API, which has creations: something before it speaks
                    progress.unclear = True
                    if (seen := await look()) != "nothing":
                        return _settle(seen)
                if error.status not in taken or error.code in (
                    "UnsupportedInstallationType",
                    "UnsupportedLicensingType",
                ):
                    raise
                seen, repeated = await look(), progress.unclear or error.repeated
                if seen == "nothing" and repeated:
                    seen = await self._wait_for(look)
                if seen == "nothing":
                    raise _make_invisible(error, maybe_ours=progress.unclear) from error
                return _settle(seen) if repeated else Creation.EXISTS
            else:
                return Creation.CREATED
            await self._clock.sleep(_BACKOFF * 2**attempt * (1 + self._jitter()))
        raise AssertionError("unreachable: the last attempt returns or raises")

    async def _wait_for(self, look: Callable[[], Awaitable[Sighting]]) -> Sighting:
        for seconds in _READ_AFTER:
            await self._clock.sleep(seconds)
            if (seen := await look()) != "nothing":
                return seen
        return "nothing"

    async def _patch(self, route: Literal["/admin/user", "/admin/group"], bps_id: str, fields: Fields) -> None:
        noun: Literal["users", "groups"] = "users" if route == "/admin/user" else "groups"
        await self._client.send("PATCH", make_path(route, bps_id), noun=noun, body=encode_fields(fields))

    async def _delete(self, route: Literal["/admin/user", "/admin/group"], bps_id: str) -> None:
        noun: Literal["users", "groups"] = "users" if route == "/admin/user" else "groups"
        try:
            await self._client.send("DELETE", make_path(route, bps_id), noun=noun)
        except NotFound as error:
            fetch = self._inventory.fetch_account if noun == "users" else self._inventory.fetch_group
            if await fetch(bps_id) is None:
                return
            if isinstance(error, BareNotFound) or error.repeated:
                raise Unavailable(f"{error}, and shows the record afterwards", status=error.status) from error
            raise Rejected(
                f"{error}, and shows the record all the same; {UNTOUCHABLE}",
                status=404,
                code=error.code,
                foreign_record=True,
            ) from error


def _settle(seen: Sighting) -> Creation:
    return Creation.SETTLED if seen == "ours" else Creation.EXISTS


def _compare(found: Account | PortalGroup, wanted: Account | PortalGroup, fields: tuple[str, ...]) -> Sighting:
    """Tell whether a record holds what we sent and nothing else, apart from case and outer blanks."""

    def plain(value: str | None) -> str:
        return fold((value or "").strip())

    unmanaged = (
        isinstance(found, Account) and not found.manager
    )  # as a portal leaves one whose manager it does not take
    compared = [name for name in fields if not (name == "manager" and unmanaged)]
    same = all(plain(getattr(found, name)) == plain(getattr(wanted, name)) for name in compared)
    return "ours" if same else "other"


def _refuse_clearing_required(field: str) -> None:
    if field in _REQUIRED:
        raise Rejected(f"{NAME} keeps no record without {field}, so it cannot be cleared: check mapping of {field}")


def _make_invisible(error: PermanentError, *, maybe_ours: bool) -> Conflict:
    ours = "the one that we sent before and whose answer was lost (the next runs look for it), " if maybe_ours else ""
    return Conflict(
        f"{error}; the id is in use by a record that the API does not show: {ours}a deactivated user, a record of the "
        "portal's own directory synchronisation, an API application, or one that is still being synchronised. "
        "Look for it in the portal's list of users and groups, and remove it there or map another id",
        status=error.status,
        code=error.code,
        foreign_record=True,
    )
