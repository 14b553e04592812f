"""Whose words a refusal at a token endpoint are: the endpoint's own, or those of something in between. Pure.

The one place for Microsoft's login, the platform's and the portal's. A token endpoint refuses with a word of RFC 6749
(section 5.2) in ``error``; Microsoft may use a word of its own, and then numbers it (AADSTS, in ``error_codes`` and at
the beginning of ``error_description``). Gateways answer with JSON as well (``{"message": "Forbidden"}``,
``{"error": "blocked"}``, ``{"error": {"code": 403}}``), with any status: they know nothing of credentials.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

_STANDARD: Final = frozenset(
    {
        "invalid_request",
        "invalid_client",
        "invalid_grant",
        "unauthorized_client",
        "unsupported_grant_type",
        "invalid_scope",
        # Of the authorization endpoint (4.1.2.1), and seen from token endpoints as well; both say that it passes.
        "server_error",
        "temporarily_unavailable",
    }
)
_MICROSOFT: Final = frozenset({"invalid_resource", "invalid_tenant", "interaction_required", "consent_required"})
_WORD: Final = re.compile(r"[a-z_]{1,40}")
_NUMBER: Final = re.compile(r"AADSTS(\d{4,9})")


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenRefusal:
    """What a token endpoint says itself: its word ("" for one that is none), what it describes, Microsoft's numbers."""

    word: str
    description: str
    numbers: tuple[int, ...] = ()


def read_token_refusal(body: Mapping[str, Any]) -> TokenRefusal | None:
    """Return what the endpoint itself says with an error body; None for words that anybody before it may use."""
    word, described, listed = body.get("error"), body.get("error_description"), body.get("error_codes")
    if not isinstance(word, str):
        return None
    text = described if isinstance(described, str) else ""
    found = [int(number) for number in _NUMBER.findall(text)]
    if found and isinstance(listed, list):
        found = [number for number in listed if type(number) is int] + found
    if word not in _STANDARD and word not in _MICROSOFT and not found:
        return None
    plain = word if _WORD.fullmatch(word) else ""
    return TokenRefusal(word=plain, description=text, numbers=tuple(dict.fromkeys(found)))
