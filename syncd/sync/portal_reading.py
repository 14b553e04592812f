"""Read the portal into the inventory: all users and groups, and the members of the groups that matter."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from syncd.errors import Interrupted
from syncd.sync.ports import Portal
from syncd.sync.pull import Progress
from syncd.sync.stores import InventoryStore
from syncd.sync.together import working_together


async def read_records(portal: Portal, store: InventoryStore, progress: Progress) -> None:
    """Read the lists of users and groups; one of ours that is missing is read singly before it is gone."""
    await store.call(store.begin_reading)
    async for accounts in portal.fetch_accounts():
        await store.call(store.store_accounts, accounts)
        progress("portal users read", len(accounts))
    async for groups in portal.fetch_groups():
        await store.call(store.store_portal_groups, groups)
        progress("portal groups read", len(groups))
    gone: list[str] = []
    for bps_id in await store.call(store.load_missing, "user"):
        account = await portal.fetch_account(bps_id)
        if account is None:
            gone.append(bps_id)
        else:
            await store.call(store.store_accounts, [account])
    for bps_id in await store.call(store.load_missing, "group"):
        detail = await portal.fetch_group(bps_id)
        if detail is None:
            gone.append(bps_id)
        else:
            await store.call(store.store_portal_groups, [detail.group])
    await store.call(store.forget_unseen, gone)


async def read_members(
    portal: Portal, store: InventoryStore, progress: Progress, *, concurrency: int, stopping: Callable[[], bool]
) -> None:
    """Read the members of our groups and of those that a source group wants; call it after the rules have decided."""
    waiting = asyncio.Queue[str]()
    for bps_id in await store.call(store.load_groups_to_detail):
        waiting.put_nowait(bps_id)

    async def work() -> None:
        while not waiting.empty():
            if stopping():
                raise Interrupted("asked to stop while reading the portal")
            bps_id = waiting.get_nowait()
            detail = await portal.fetch_group(bps_id)
            await store.call(store.store_group_detail, bps_id, detail)
            progress("portal group members read", 1)

    async with working_together() as group:
        for number in range(concurrency):
            group.create_task(work(), name=f"read portal groups {number}")
    await store.call(store.finish_reading)
