"""How to reach the portal: the settings of one adapter, already checked by whoever makes them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from syncd.http import Shared


@dataclass(frozen=True, slots=True, kw_only=True)
class BpsOptions:
    """The portal's address and our registration there.

    ``portal_url`` may carry a path. ``secret`` is asked anew for every token, so that a secret file that changed is
    read again; ``credential_setting`` and ``proxy_setting`` are the keys by which these two were set, for what is told.
    ``members_per_request`` bounds one members or owners call (the portal names no limit), ``page_size`` is
    the number of records asked for per page (the portal may give fewer). ``concurrency``: requests under way at most;
    ``adaptive``: fewer where the portal's answers take longer for more of them. ``shared``: what earlier connections
    were told about waiting.
    """

    portal_url: str
    client_id: str
    secret: Callable[[], str]
    credential_setting: str = "bps.client_secret"
    proxy_setting: str = "bps.proxy_url"
    ca_file: Path | None
    proxy_url: str | None = field(repr=False)
    concurrency: int
    adaptive: bool
    members_per_request: int
    page_size: int = 1000
    shared: Shared = field(default_factory=Shared)

    @property
    def address(self) -> str:
        """What tells this portal from another one: host, port and path of its address, not the scheme."""
        return self.portal_url.partition("://")[2].rstrip("/").casefold()
