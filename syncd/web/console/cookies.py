"""What a browser keeps: a session's secret with a signature, and the forms' token that is made of it.

The key comes from the secret of the sign-in and from what decides about roles, so that two daemons with the same
settings share it, the store holds none, and a changed list of viewers or approvers ends every session.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets

from syncd.config import WebSettings

SESSION = "__Host-syncd"
SIGN_IN = "__Host-syncd-sign-in"
LANGUAGE = "__Host-syncd-language"
_SECRET_BYTES = 32


def make_secret() -> str:
    """Return a new secret for a browser."""
    return secrets.token_urlsafe(_SECRET_BYTES)


class Signer:
    """Signs secrets, and tells which ones it has signed."""

    def __init__(self, web: WebSettings) -> None:
        secret = web.token if web.sign_in == "token" else web.client_secret
        decides = [web.sign_in, web.client_id, web.external_url, sorted(web.viewers), sorted(web.approvers)]
        key = secret.reveal().encode() if secret is not None else secrets.token_bytes(_SECRET_BYTES)
        self._key = hmac.digest(key, f"syncd console 1 {json.dumps(decides)}".encode(), hashlib.sha256)

    def sign(self, secret: str) -> str:
        """Return the value of a cookie."""
        return f"{secret}.{self._make('cookie', secret)}"

    def open(self, cookie: str | None) -> str | None:
        """Return the secret in a cookie that we have signed, otherwise None."""
        secret, _, mark = (cookie or "").partition(".")
        if not secret or not hmac.compare_digest(mark.encode(), self._make("cookie", secret).encode()):
            return None
        return secret

    def make_form_token(self, secret: str) -> str:
        """Return what every form of a session carries."""
        return self._make("form", secret)

    def is_form_token(self, secret: str, token: str) -> bool:
        """Return whether a form was made for this session."""
        return hmac.compare_digest(token.encode(), self._make("form", secret).encode())

    def _make(self, purpose: str, secret: str) -> str:
        return hmac.digest(self._key, f"{purpose} {secret}".encode(), hashlib.sha256).hex()
