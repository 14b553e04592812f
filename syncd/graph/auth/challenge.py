"""Graph refuses a token and says what a better one must hold: continuous access evaluation. Pure.

The challenge is ``WWW-Authenticate: Bearer error="insufficient_claims", claims="<base64>"`` (learn.microsoft.com,
"Claims challenges, claims requests, and client capabilities"). For an application its usual cause is a
Conditional Access policy for workload identities that names locations; the claims may hold the address from which Graph
was asked (``xms_rp_ipaddr``).
"""

from __future__ import annotations

import base64
import binascii
import ipaddress
import re
from collections.abc import Iterator

from syncd.errors import AuthFailed
from syncd.http import Response, Told, read_json_object, say

_CLAIMS = re.compile(r'\bclaims="?([A-Za-z0-9+/_=-]{1,8192})"?')
_INSUFFICIENT = re.compile(r'\berror="?insufficient_claims\b', re.IGNORECASE)
_ADDRESS = re.compile(r"(?<![\w.:])(?:\d{1,3}(?:\.\d{1,3}){3}|[0-9A-Fa-f]{0,4}(?::[0-9A-Fa-f]{0,4}){2,7})(?![\w:])")


class ClaimsWanted(AuthFailed):
    """A token was refused for what it does not hold; ``claims`` (JSON) may be handed on to the token endpoint."""

    claims: str = ""


def read_challenge(response: Response, told: Told) -> ClaimsWanted | None:
    """Return what a 401 asks for, None where it is no challenge for claims."""
    challenge = response.headers.get("WWW-Authenticate", "")
    if response.status != 401 or not _INSUFFICIENT.search(challenge):
        return None
    claims = _read_claims(challenge)
    address = next(_find_addresses(claims, told.words), "")
    error = ClaimsWanted(
        f"Microsoft Graph answered 401{say(told)}; it does not take the token from where we are"
        f"{f' (it sees us at {address})' if address else ''}: a Conditional Access policy for workload identities "
        "applies to the application of graph.client_id. Let it exempt the application, or add "
        f"{address or 'the address that this machine has outside'} to a location that it trusts",
        status=401,
        code=told.code,
    )
    error.claims = claims
    return error


def _read_claims(challenge: str) -> str:
    """Return the claims as JSON, nothing where there are none that can be read."""
    found = _CLAIMS.search(challenge)
    if found is None:
        return ""
    text = found[1].replace("-", "+").replace("_", "/").rstrip("=")
    try:
        content = base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except binascii.Error:
        return ""
    return content.decode("utf-8", "replace") if read_json_object(content) else ""


def _find_addresses(*texts: str) -> Iterator[str]:
    for text in texts:
        for found in _ADDRESS.findall(text):
            try:
                yield str(ipaddress.ip_address(found))
            except ValueError:
                continue
