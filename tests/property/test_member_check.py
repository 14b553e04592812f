"""Law 3 for the check of memberships: whatever delta loses and counts lie about, no member who is one is taken out."""

from __future__ import annotations

import asyncio
import logging
import random
import shutil
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, cast

import structlog
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from syncd.store.db.database import Database, open_database
from syncd.store.store import Store
from syncd.sync.pull.pull import Pull
from tests.fakes.source import FakeSource
from tests.fakes.world import OwnClock
from tests.property.test_delta_equals_full import GROUPS, USERS, event, happen, picture, truth
from tests.stores import template

Links = set[tuple[str, str]]
rounds = st.lists(
    st.tuples(
        st.lists(event, max_size=5),
        st.booleans(),  # delta loses links
        st.sampled_from([0, 0, 1, 3, -1, -3]),  # what the count of one group says beyond the truth
        st.sampled_from([*GROUPS, ""]),  # a group whose lists are cut
    ),
    max_size=8,
)


def links_of(found: dict[str, object]) -> Links:
    """Return the live memberships of a picture."""
    return cast(Links, found["links"])


async def pull(database: Database, source: FakeSource, clock: OwnClock, *, full: bool) -> None:
    """Pull once, some hours later."""
    clock.ahead += timedelta(hours=7)
    use_case = Pull(source, Store(database), clock=clock, progress=lambda name, number: None, stopping=lambda: False)
    await use_case.run("full" if full else "delta")


@settings(
    max_examples=30,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
)
@given(rounds, st.integers(0, 1000))
def test_no_lie_takes_out_who_is_a_member(history: list[Any], seed: int) -> None:
    """Who was a member before and after a pull, and stored, stays stored; a full pull ends all differences."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    source, clock, chance = FakeSource(), OwnClock(), random.Random(seed)
    with TemporaryDirectory() as folder:
        path = Path(folder, "store.db")
        shutil.copy(template(), path)
        database = open_database(f"sqlite:///{path}")
        try:
            for user in USERS:
                source.put_user(user, userPrincipalName=f"{user}@x.com", displayName=user)
            for group in GROUPS:
                source.put_group(group, displayName=group)
                for member in chance.sample(USERS, 3):
                    source.link(group, member)
            asyncio.run(pull(database, source, clock, full=True))
            for events, losing, lie, cut in history:
                before = links_of(picture(database, source)) & links_of(truth(source))
                source.losing_links = losing
                for what in events:
                    happen(source, what)
                source.member_count_lies = {chance.choice(GROUPS): lie}
                source.unlisted = {f"{cut}/{member}" for member in chance.sample(USERS, 3)}
                if lie < 0:
                    source.unlisted.clear()  # a count and two lists that agree on the same lie are beyond any witness
                now = links_of(truth(source))
                asyncio.run(pull(database, source, clock, full=False))
                assert before & now <= links_of(picture(database, source))
            source.losing_links, source.member_count_lies, source.unlisted = False, {}, set()
            asyncio.run(pull(database, source, clock, full=True))
            assert links_of(picture(database, source)) == links_of(truth(source))
        finally:
            database.close()
            structlog.reset_defaults()
