"""What a message can be about."""

from __future__ import annotations

from typing import Literal, get_args

Event = Literal["failed", "held", "recovered", "expiring", "failing", "refused_configuration"]
EVENTS: tuple[Event, ...] = get_args(Event)
