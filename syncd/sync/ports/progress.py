"""How long work reports that it goes on."""

from __future__ import annotations

from collections.abc import Callable

Progress = Callable[[str, int], None]
"""Called with the name of a counter and how much was added to it."""
