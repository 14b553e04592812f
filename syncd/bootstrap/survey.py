"""A look at who has something in the portal, for somebody who reads cards: within an hour it is made once."""

from __future__ import annotations

import asyncio
from datetime import timedelta

from syncd.bootstrap.rules import make_rules
from syncd.bootstrap.sides import make_bps_options
from syncd.clock import Clock
from syncd.config import Missing, Settings
from syncd.errors import SyncdError
from syncd.model.privilege import Survey
from syncd.store.db.database import Database
from syncd.store.privileges.survey import load_last_survey, save_survey
from syncd.sync.portal.survey import PATIENCE_SECONDS, survey_places

_FRESH = timedelta(hours=1)
_FIRST_SECONDS = 15.0
"""So long the lists may take beside the readings: a person is waiting, and the portal may be down."""


def look_around(settings: Settings, database: Database, clock: Clock) -> str:
    """Keep who has something at the portal's applications and processes; return why that could not be read.

    Of the content databases that rules name, of number 1 without rules: the API lists none.
    """
    last = load_last_survey(database)
    if last is not None and timedelta() <= clock.now() - last < _FRESH:
        return ""
    if isinstance(settings.bps_side, Missing):
        return "[bps] is not complete"
    databases = {rule.database for rule in make_rules(settings).privileges} or {1}
    try:
        survey = asyncio.run(_survey(settings, clock, databases))
    except TimeoutError:
        return "the portal does not answer in time"
    except SyncdError as error:
        return str(error)
    save_survey(database, survey)
    return ""


async def _survey(settings: Settings, clock: Clock, databases: set[int]) -> Survey:
    from syncd.bps.portal import BpsPortal

    async with (
        asyncio.timeout(_FIRST_SECONDS + PATIENCE_SECONDS),
        BpsPortal(make_bps_options(settings), clock) as portal,
    ):
        return await survey_places(portal, databases, now=clock.now())
