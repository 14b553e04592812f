"""How the address of the store is shown to people."""

from __future__ import annotations

from sqlalchemy import URL

_SECRET = ("pass", "secret", "token")
_MASK = "hidden"
"""A word that needs no escape in an address."""


def show_address(url: URL) -> str:
    """Return the address without what is secret in it: passwords before the host, and among the parameters."""
    hidden = {name: _MASK for name in url.query if any(word in name.lower() for word in _SECRET)}
    return url.update_query_dict(hidden).render_as_string(hide_password=True)
