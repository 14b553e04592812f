"""A portal that keeps values in a spelling of its own: trimmed, in lower case, cut, or in other characters. Pure.

WEBCON's API does not say that it does so; a portal that did would differ from what we want at each reading, would be
written at each full run, and everybody would seem to have been changed by hand. So might a gateway or a database that
brings texts to a normal form of Unicode (UAX 15).

This is about the values of fields only. Who somebody is (the BPS id) is compared as the portal compares it, by
`syncd.model.target.fold`: of two ids that differ in their form alone, both may be there, of two people.
"""

from __future__ import annotations

import unicodedata

TIMES = 2
"""So often a reading must show the same spelling of what we wrote, written anew in between, until it counts as that."""
LEAST_CUT = 8
"""Fewer characters than this are no value that was cut: somebody has shortened a name."""


def is_same_text(*, sent: str, shown: str) -> bool:
    """Return whether both are the same characters, composed or not ("é" as one code point or two).

    Nobody sees a difference, and nobody types one: no change by hand, also where it is met for the first time.
    """
    return sent != shown and unicodedata.normalize("NFC", sent) == unicodedata.normalize("NFC", shown)


def is_spelling(*, sent: str, shown: str) -> bool:
    """Return whether the portal may have made ``shown`` of ``sent`` by trimming, folding, cutting or normalising.

    Characters that nobody sees (marks of direction, zero-width ones, those of control) may be lost on the way.

    Another word is somebody else's doing, and an emptied value as well.
    """
    whole, kept = _fold(sent), _fold(shown)
    if sent == shown or not kept:
        return False
    return whole == kept or (len(kept) >= LEAST_CUT and whole.startswith(kept))


def _fold(value: str) -> str:
    plain = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", value).casefold())
    words = (_drop_unseen(word) for word in plain.split())
    return " ".join(word for word in words if word)


def _drop_unseen(word: str) -> str:
    if word.isascii() and word.isprintable():
        return word
    return "".join(letter for letter in word if unicodedata.category(letter) not in ("Cc", "Cf"))
