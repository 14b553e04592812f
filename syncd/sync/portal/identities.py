"""One identity for each place and company that privileges are about: its guid.

A rule may name them by id, guid or name. What an earlier version, or a reading of lists without guids, knows by its
number alone is remembered by its guid as soon as a list tells it, so that another spelling is the same thing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import structlog

from syncd.errors import AuthFailed, RemoteError
from syncd.model.privilege import Privilege, read_privilege
from syncd.sync.portal.places import Places

if TYPE_CHECKING:
    from syncd.store.store import Store


async def identify(places: Places, store: Store, meanings: dict[str, Any]) -> None:
    """Give what is remembered by a number its guid, in the own record and in ``meanings``, as far as lists tell.

    Asks the portal nothing where everything has its guid. Raises AuthFailed.
    """
    numbered = {each.token: each for each in await store.privileges.load_own() if each.numbered}
    found = dict[str, Privilege]()
    for token, each in sorted((numbered | {one.token: one for one in _read(meanings).values()}).items()):
        try:
            known = await places.identify(each)
        except AuthFailed:
            raise
        except RemoteError as error:
            structlog.get_logger("syncd.privileges").debug("privileges.unidentified", place=token, error=str(error))
            continue
        if known.token != token:
            found[token] = known
    if found:
        await store.privileges.respell(
            [(numbered[token], known) for token, known in found.items() if token in numbered]
        )
    for key, each in _read(meanings).items():
        if each.token in found:
            meanings[key] = found[each.token].values()
    if found:
        await store.privileges.save_meanings(meanings)


def _read(meanings: Mapping[str, Any]) -> dict[str, Privilege]:
    """Return what rules were found to mean and is known by a number, by their keys."""
    read = {key: read_privilege(value) for key, value in meanings.items() if isinstance(value, dict)}
    return {key: each for key, each in read.items() if each.numbered}
