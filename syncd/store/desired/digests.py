"""What a decision was made of, as one number: equal numbers say that it would be the same again.

A decision is a function of the object, of whether groups let it in, of a binding by hand and of the rules
(`syncd.plan.desired`). So a full planning reads everybody and decides only about those of whom one of these is another.
"""

from __future__ import annotations

from functools import cache
from hashlib import blake2b
from importlib.metadata import PackageNotFoundError, version

_BYTES = 8
_MARK = "\x1f"
"""Stands in none of the values: JSON text writes it otherwise, and the others are ids and words of ours."""


class Digests:
    """Digests of objects under the same rules, whose fingerprint is given, and the same version of this program."""

    def __init__(self, rules: str) -> None:
        self._rules = blake2b(f"{_find_version()} {rules}".encode(), digest_size=_BYTES)

    def sum_up(self, *values: object) -> int:
        """Return the digest of an object's values."""
        digest = self._rules.copy()
        digest.update(_MARK.join(map(str, values)).encode())
        return int.from_bytes(digest.digest(), signed=True)


@cache
def _find_version() -> str:
    """Return the version of the program: another one may decide otherwise."""
    try:
        return version("syncd")
    except PackageNotFoundError:
        return ""
