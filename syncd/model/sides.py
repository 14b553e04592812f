"""The two sides by the names under which the settings know them."""

from __future__ import annotations

from typing import Literal

SideName = Literal["graph", "bps"]

BOTH_SIDES: frozenset[SideName] = frozenset({"graph", "bps"})
