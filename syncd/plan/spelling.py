"""A portal that keeps values in a spelling of its own: trimmed, in lower case, or cut. Pure.

WEBCON's API does not say that it does so; a portal that did would differ from what we want at each reading, would be
written at each full run, and everybody would seem to have been changed by hand.
"""

from __future__ import annotations

TIMES = 2
"""So often a reading must show the same spelling of what we wrote, written anew in between, until it counts as that."""
_LEAST_CUT = 8
"""Fewer characters than this are no value that was cut: somebody has shortened a name."""


def is_spelling(*, sent: str, shown: str) -> bool:
    """Return whether the portal may have made ``shown`` of ``sent`` by trimming, folding letters or cutting.

    Another word is somebody else's doing, and an emptied value as well.
    """
    whole, kept = _fold(sent), _fold(shown)
    if sent == shown or not kept:
        return False
    return whole == kept or (len(kept) >= _LEAST_CUT and whole.startswith(kept))


def _fold(value: str) -> str:
    return " ".join(value.split()).casefold()
