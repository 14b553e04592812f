"""When a credential ends, as one of the two sides told it or as the settings say."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta


@dataclass(frozen=True, slots=True)
class SecretEnd:
    """When the client secret of an application of the tenant ends, by the application's own record there."""

    application: str
    ends_at: datetime


def tell_days(left: timedelta) -> str:
    """Return what is left in words."""
    days = left.days
    return "less than a day" if days < 1 else f"{days} day{'' if days == 1 else 's'}"
