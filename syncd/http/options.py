"""How one side is reached, and how long a request to it may be repeated. Plain values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from syncd.http.concurrency import ConcurrencyLimit
from syncd.http.confidential import Sent


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """How long a request may be repeated.

    ``repeatable`` says that sending it twice does no harm, so that answers which leave its effect unclear (time-out,
    broken connection, 500, 502, 504) are retried too. Refusals that had no effect (429, 503, connection refused) are
    always retried. ``wait_max`` bounds our own backoff; ``patience`` bounds one Retry-After and the sum of all waiting,
    in seconds: a longer one is not waited for, the error is raised.
    """

    attempts: int = 6
    patience: float = 180.0
    wait_initial: float = 0.4
    wait_max: float = 20.0
    repeatable: bool = True


@dataclass(slots=True, kw_only=True)
class Traffic:
    """What went through a client so far."""

    requests: int = 0
    retries: int = 0
    throttled: int = 0
    bytes_received: int = 0


@dataclass(frozen=True, slots=True)
class Shared:
    """What the clients of one process know in common, whichever of them was told, found it out or sent it.

    Until when (monotonic seconds) each host wants no request, how many it bears at once, what was sent in confidence.
    """

    until: dict[str, float] = field(default_factory=dict)
    borne: dict[str, ConcurrencyLimit] = field(default_factory=dict)
    sent: Sent = field(default_factory=Sent)


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpOptions:
    """How to reach one side. Times are in seconds, sizes in bytes.

    ``address_setting``, ``ca_setting`` and ``proxy_setting`` name the settings that an operator looks at when it cannot
    be reached. At most ``concurrency`` requests are under way; ``adaptive``: as many of them as the side bears. A large
    answer has at most ``most_values``: each costs memory of its own, however short it is written.
    """

    address_setting: str = "the address"
    ca_setting: str = "ca_file"
    proxy_setting: str = "proxy_url"
    ca_file: Path | None = None
    proxy_url: str | None = field(default=None, repr=False)
    concurrency: int = 8
    adaptive: bool = False
    connect_timeout: float = 15.0
    answer_timeout: float = 100.0
    size_limit: int = 64 << 20
    most_values: int = 4_000_000
    headers: Mapping[str, str] = field(default_factory=dict)
    shared: Shared = field(default_factory=Shared)
