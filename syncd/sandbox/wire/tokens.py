"""Tokens of the sandbox: bearer tokens that look like JWTs, and opaque sealed page tokens that cannot be altered."""

from __future__ import annotations

import base64
import hashlib
import hmac
import random
from dataclasses import dataclass
from typing import Literal, TypeVar
from urllib.parse import quote

import msgspec

from syncd.clock import Clock

TokenFault = Literal["missing", "unknown", "expired", "foreign"]
_Struct = TypeVar("_Struct", bound=msgspec.Struct)
_CAPACITY = 10_000


@dataclass(frozen=True, slots=True)
class Grant:
    """What a bearer token allows: ``audience`` names the side that accepts it, ``expires`` is epoch seconds.

    ``person``: the object id of who has signed in, empty for an application by itself.
    """

    audience: str
    client_id: str
    permissions: frozenset[str]
    expires: float
    person: str = ""


class TokenBook:
    """All bearer tokens in circulation, for all sides, so that a token sent to the wrong side is recognised."""

    def __init__(self, clock: Clock, *, seed: int) -> None:
        self._clock = clock
        self._random = random.Random(f"bearer-{seed}")  # noqa: S311 - reproducible imitation, not a secret
        self._grants: dict[str, Grant] = {}

    def issue(self, grant: Grant, claims: dict[str, object]) -> str:
        """Return a new JWT-looking token for the grant; only this book can tell what it is worth."""
        now = int(self._clock.now().timestamp())
        payload = {
            **claims,
            "iat": now,
            "nbf": now,
            "exp": int(grant.expires),
            "uti": f"{self._random.getrandbits(64)}",
        }
        parts = [
            msgspec.json.encode({"typ": "JWT", "alg": "RS256", "kid": "sandbox"}),
            msgspec.json.encode(payload),
            self._random.randbytes(64),
        ]
        token = ".".join(base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in parts)
        if len(self._grants) >= _CAPACITY:
            del self._grants[next(iter(self._grants))]
        self._grants[token] = grant
        return token

    def check(self, authorization: str | None, *, audience: str) -> Grant | TokenFault:
        """Return the grant behind an Authorization header, or why there is none."""
        scheme, _, token = (authorization or "").partition(" ")
        if scheme.lower() != "bearer" or not token:
            return "missing"
        grant = self._grants.get(token)
        if grant is None:
            return "unknown"
        if grant.audience != audience:
            return "foreign"
        return grant if self._clock.now().timestamp() < grant.expires else "expired"

    def revoke_all(self, audience: str | None = None) -> None:
        """Make all tokens of one side (or all) worthless at once."""
        for token in [t for t, grant in self._grants.items() if audience in (None, grant.audience)]:
            del self._grants[token]


class Seal:
    """Turns a small struct into opaque text and back, refusing anything that was not sealed by this object.

    The text contains ``'``, ``$``, ``+``, ``/`` and ``=`` on purpose: in a link they stand percent-encoded, and a
    client that normalises links instead of following them byte for byte gives itself away.
    """

    def __init__(self, key: bytes) -> None:
        self._key = key

    def close(self, content: msgspec.Struct) -> str:
        """Return the sealed text of a struct."""
        payload = msgspec.msgpack.encode(content)
        mac = hmac.digest(self._key, payload, hashlib.sha256)[:12]
        stream = hashlib.shake_128(self._key + mac).digest(len(payload))
        hidden = bytes(a ^ b for a, b in zip(payload, stream, strict=True))
        return "'$" + base64.b64encode(mac + hidden).decode() + "+/='"

    def open(self, text: str, shape: type[_Struct]) -> _Struct | None:
        """Return what was sealed, or None when the text is not ours or was altered."""
        if not (text.startswith("'$") and text.endswith("+/='")):
            return None
        try:
            blob = base64.b64decode(text[2:-4], validate=True)
        except ValueError:
            return None
        mac, hidden = blob[:12], blob[12:]
        stream = hashlib.shake_128(self._key + mac).digest(len(hidden))
        payload = bytes(a ^ b for a, b in zip(hidden, stream, strict=True))
        if not hmac.compare_digest(mac, hmac.digest(self._key, payload, hashlib.sha256)[:12]):
            return None
        try:
            return msgspec.msgpack.decode(payload, type=shape)
        except msgspec.MsgspecError:
            return None


def encode_for_link(text: str) -> str:
    """Return the token text as it stands in a link: everything but letters, digits and ``-._~`` percent-encoded."""
    return quote(text, safe="")
