"""One plain request and one plain answer, the same for all imitation services and for what stands before them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import unquote


@dataclass(frozen=True, slots=True)
class Request:
    """One request as it came: ``target`` is the raw path with query, ``path`` decoded, header names in lower case."""

    method: str
    target: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes = b""

    @property
    def segments(self) -> tuple[str, ...]:
        """Return the decoded path segments; a percent-encoded slash does not split one."""
        return tuple(unquote(part) for part in self.target.partition("?")[0].strip("/").split("/"))


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer; ``route`` names what answered, for the ledger; ``resource_units`` is Graph's price.

    ``parts``: of a batch, (method, target, answer) of each request in it.
    """

    status: int = 200
    body: bytes = b""
    content_type: str = "application/json"
    headers: Mapping[str, str] = field(default_factory=dict)
    route: str = ""
    resource_units: int = 0
    parts: tuple[tuple[str, str, Answer], ...] = ()
