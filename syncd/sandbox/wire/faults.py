"""Faults on request: which requests shall go wrong, how, and how often.

In-process a test adds Fault objects; from outside the control endpoint does. A fault is matched by side (graph, login,
portal, batch: an item inside a Graph batch), method, a regular expression searched in the raw path with query, one
searched in the body (``holding``), and the size of the body (``above`` so many bytes).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

import msgspec

from syncd.errors import ConfigError

FaultKind = Literal[
    "status",
    "html",
    "reset",
    "lose",
    "truncate",
    "delay",
    "drip",
    "links",
    "alter",
    "echo",
    "redirect",
    "mark",
    "header",
    "replace",
    "bomb",
    "endless",
]
LinkFault = Literal["same", "foreign", "neither", "both"]
_KINDS: tuple[str, ...] = get_args(FaultKind)
_LINKS: tuple[str, ...] = get_args(LinkFault)
_PASSING = frozenset({"lose", "truncate", "delay", "drip", "links", "alter", "mark", "header", "replace"})
_HTML = b"<!DOCTYPE html><html><head><title>Service Unavailable</title></head><body><h2>Maintenance</h2></body></html>"


@dataclass(slots=True)
class Fault:
    """One planned fault.

    ``kind``: status (answer ``status`` with ``body`` and ``headers``, without effect), html (the same with a
    maintenance page), reset (connection dropped, no effect), lose (effect, then the connection is dropped), truncate
    (half of the body), delay (``seconds``), drip (a tenth of the body every ``seconds``), links (the page's links are
    spoiled as ``link`` says), alter (``change`` edits the decoded JSON in place; in-process only), echo (``status``
    with an error that repeats the request, as JSON, text or a page by ``content_type``), redirect (to the very address
    by http), replace (effect, and ``status`` with ``body`` in place of the answer), mark (a byte order mark before the
    body), header (a header line of ``size`` bytes more), bomb (a gzip that becomes ``size`` bytes), endless (``size``
    bytes of a body every ``seconds``, for as long as somebody listens). ``skip`` requests pass unharmed first, then
    ``count`` are hit; -1 is for ever.
    """

    kind: FaultKind
    side: str = "any"
    method: str = ".*"
    path: str = ""
    count: int = 1
    skip: int = 0
    status: int = 503
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    content_type: str = "application/json"
    seconds: float = 0.0
    link: LinkFault = "same"
    holding: str = ""
    above: int = -1
    size: int = 60_000
    change: Callable[[Any], None] | None = None
    hits: int = 0

    def __post_init__(self) -> None:
        if self.kind == "html" and not self.body:
            self.body, self.content_type = _HTML, "text/html"

    @property
    def passes(self) -> bool:
        """Return whether the service does its work although the answer is spoiled."""
        return self.kind in _PASSING

    def matches(self, side: str, method: str, target: str, body: bytes = b"") -> bool:
        """Return whether the request is one that this fault is meant for."""
        return (
            self.side in ("any", side)
            and re.fullmatch(self.method, method, re.IGNORECASE) is not None
            and re.search(self.path, target) is not None
            and len(body) > self.above
            and re.search(self.holding, body.decode("utf-8", "replace")) is not None
        )

    def alter(self, body: bytes, *, asked: str) -> bytes:
        """Return the body as the fault leaves it; ``asked`` is the raw target that was asked for.

        Bodies that are not a JSON object stay as they are.
        """
        if self.kind not in ("links", "alter") or not body.startswith(b"{"):
            return body
        page = msgspec.json.decode(body)
        if self.change is not None:
            self.change(page)
        if self.kind == "links":
            _spoil_links(page, self.link, asked)
        return msgspec.json.encode(page)


def _spoil_links(page: dict[str, Any], how: LinkFault, asked: str) -> None:
    link = page.get("@odata.nextLink") or page.get("@odata.deltaLink") or ""
    if how == "same":
        page["@odata.nextLink"] = re.sub(r"^(https://[^/]+).*", lambda match: match[1] + asked, link)
        page.pop("@odata.deltaLink", None)
    if how == "neither":
        page.pop("@odata.nextLink", None)
        page.pop("@odata.deltaLink", None)
    elif how == "both":
        page["@odata.nextLink"] = page["@odata.deltaLink"] = link
    elif how == "foreign":
        page["@odata.nextLink"] = re.sub(r"^https://[^/]+", "https://graph.attacker.example", link)
        page.pop("@odata.deltaLink", None)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and value >= 0


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and -1 <= value < 1_000_000_000


def _is_status(value: object) -> bool:
    return _is_whole(value) and 200 <= int(str(value)) <= 599


def _is_text(value: object) -> bool:
    return isinstance(value, str) and value.isprintable()


def _are_headers(value: object) -> bool:
    return isinstance(value, dict) and all(_is_text(name) and name and _is_text(each) for name, each in value.items())


_TYPES: Mapping[str, tuple[Callable[[object], bool], str]] = {
    "side": (_is_text, "a text"),
    "method": (_is_text, "a text"),
    "path": (_is_text, "a text"),
    "count": (_is_whole, "a whole number, -1 for ever"),
    "skip": (_is_whole, "a whole number"),
    "status": (_is_status, "a status from 200 to 599"),
    "headers": (_are_headers, "an object of texts"),
    "seconds": (_is_number, "a number of seconds"),
    "content_type": (_is_text, "a text"),
    "holding": (_is_text, "a text"),
    "above": (_is_whole, "a whole number of bytes"),
    "size": (_is_whole, "a whole number of bytes"),
}


class Faults:
    """The planned faults, first match first. Safe to change at any time from the event loop."""

    def __init__(self) -> None:
        self._planned: list[Fault] = []
        self.watch: Callable[[str, str, str], None] | None = None
        """Is told side, method and raw target of each request before anything becomes of it; in-process only."""

    def add(self, fault: Fault) -> Fault:
        """Plan a fault and return it, so that its ``hits`` can be watched."""
        self._planned.append(fault)
        return fault

    def clear(self) -> None:
        """Forget all planned faults."""
        self._planned.clear()

    def take(self, side: str, method: str, target: str, body: bytes = b"") -> Fault | None:
        """Return the fault that hits this request, counting it, or None."""
        if self.watch is not None:
            self.watch(side, method, target)
        if not self._planned:
            return None
        for fault in self._planned:
            if not fault.matches(side, method, target, body):
                continue
            if fault.skip > 0:
                fault.skip -= 1
                continue
            fault.hits += 1
            if fault.count > 0:
                fault.count -= 1
                if fault.count == 0:
                    self._planned.remove(fault)
            return fault
        return None


def parse_fault(document: Mapping[str, Any]) -> Fault:
    """Return the fault that a JSON document describes (keys as the fields of Fault; ``body`` is text or JSON).

    Raises ConfigError naming every unusable key.
    """
    known = {"kind", "body", "link", *_TYPES}
    problems = [f"{name}: there is no such key" for name in sorted(document.keys() - known)]
    if document.get("kind") not in _KINDS or document.get("kind") == "alter":
        problems.append(f"kind: one of {', '.join(kind for kind in _KINDS if kind != 'alter')}")
    if document.get("link", "same") not in _LINKS:
        problems.append(f"link: one of {', '.join(_LINKS)}")
    for name in ("method", "path", "holding"):
        try:
            re.compile(str(document.get(name, "")))
        except re.error as error:
            problems.append(f"{name}: not a regular expression ({error})")
    problems += [
        f"{name}: {value!r} is not {_TYPES[name][1]}"
        for name, value in document.items()
        if name in _TYPES and not _TYPES[name][0](value)
    ]
    if problems:
        raise ConfigError(problems)
    fields = dict(document)
    if "body" in fields:
        body = fields["body"]
        fields["body"] = body.encode() if isinstance(body, str) else msgspec.json.encode(body)
    return Fault(**fields)
