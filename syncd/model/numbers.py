"""How many of something, in words."""

from __future__ import annotations


def tell_number(number: int, one: str, many: str = "") -> str:
    """Return how many of something there are: ``1 change``, ``1,031 changes``."""
    return f"{number:,} {one if number == 1 else many or f'{one}s'}"
