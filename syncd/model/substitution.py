"""A substitution of the portal: the open and coming tasks of one account go to another one for a time."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Substitution:
    """Tasks of ``original`` go to ``substitute`` (BPS ids) between two instants (aware UTC).

    ``number`` is the portal's own name of it, None as long as nobody has learned it.
    """

    original: str
    substitute: str
    starts_at: datetime
    ends_at: datetime
    number: int | None = None
