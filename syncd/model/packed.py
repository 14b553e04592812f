"""A place in a group as one number, which is what hundreds of thousands of them are read, compared and written as."""

from __future__ import annotations

BITS = 32
MASK = (1 << BITS) - 1


def pack(group: int, member: int) -> int:
    """Return the number for the keys of a group and a member, which are below 2 to the 32nd."""
    return group << BITS | member


def unpack(place: int) -> tuple[int, int]:
    """Return the keys of the group and the member."""
    return place >> BITS, place & MASK
