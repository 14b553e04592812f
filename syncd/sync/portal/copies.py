"""A store that was put back: what its own record of privileges says may be by hand by now.

Since the copy was made syncd may have taken what its record calls ours, and somebody may have given it by hand.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

import structlog

from syncd.plan.rules import Rules

if TYPE_CHECKING:
    from syncd.store.store import Store


async def recognise_copy(store: Store, rules: Rules, *, run_id: int, now: datetime) -> list[str]:
    """Let nothing be taken on the word of a store that was put back; return what is to be told of that.

    Does nothing where there are no rules, now or before. The next full push, this one perhaps, reads all places.
    """
    if not (rules.privileges or await store.privileges.are_ours()):
        return []
    doubted = await store.privileges.recognise(f"run {run_id}, {now.isoformat()}")
    if doubted is None:
        return []
    await store.plans.require_full_push()
    structlog.get_logger("syncd.privileges").warning("privileges.store_copied", privileges=doubted)
    told = (
        f"privileges: the store is a copy that was put back: {doubted} that rules gave may be by hand by now, and no "
        "rule takes them ('syncd privileges' names them)"
    )
    return [told] if doubted else []
