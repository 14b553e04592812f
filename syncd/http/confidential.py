"""What was sent in confidence, and how to take it out of what comes back: tokens, secrets, passwords, assertions.

A side, or something before it, may repeat a request in its answer: as it was, percent-encoded, escaped as JSON or HTML,
in base64, or a part of it. So what comes back is undone of escapes as often as that changes it, and every run of
characters that was also sent is masked. Case does not matter, and a plus sign stands for a blank.
"""

from __future__ import annotations

import base64
import html
import re
from collections.abc import Iterable
from functools import cached_property
from urllib.parse import quote, quote_plus, unquote, urlsplit

from syncd.logs.redaction import MASK

_RUN = 10
"""Characters in a row that are taken for a part of something sent; what is shorter is looked for as a whole."""
_SHORT = 8
"""What is shorter than this is masked only where it stands alone: it may be a part of any word."""
MOST_TOKEN_CHARACTERS = 100_000
"""A longer token is none: no server takes it in a header, and every part of it would have to be known by heart."""
_LONG = 4096
"""Of what is longer, such as a token of many claims, every tenth run is known, and what stands around it is masked."""
_REMEMBERED = 24
"""So many texts that were sent in confidence last: one who repeats them may be late."""
_ROUNDS = 3
"""So many layers of escapes are undone."""
_ESCAPE = re.compile(
    rb"%([0-9a-f]{2})|\\u([0-9a-f]{4})|\\x([0-9a-f]{2})|\\([/\"'\\])|&#x([0-9a-f]{1,6});|&#([0-9]{1,7});|&([a-z]{2,6});",
    re.IGNORECASE,
)
_MASK = MASK.encode()


class Confidential:
    """Texts that must not be repeated. ``mask`` works on any text, in time that grows with its length only."""

    def __init__(self, texts: Iterable[str] = ()) -> None:
        self._texts = tuple(dict.fromkeys(text for text in texts if text.strip()))

    def mask(self, text: str) -> str:
        """Return the text with a mask in place of everything that was sent."""
        if not self._texts or not text:
            return text
        return self.mask_bytes(text.encode("utf-8", "surrogatepass")).decode("utf-8", "replace")

    def mask_bytes(self, content: bytes) -> bytes:
        """Return a body with a mask in place of everything that was sent."""
        spans: list[tuple[int, int]] = []
        plain, places = content, list(range(len(content) + 1))
        for number in range(_ROUNDS + 1):
            spans += [(places[start], places[end]) for start, end in self._find(_fold(plain))]
            if number == _ROUNDS or not _ESCAPE.search(plain):
                break
            plain, places = _undo_escapes(plain, places)
        return _cover(content, spans) if spans else content

    @cached_property
    def _needles(self) -> tuple[frozenset[bytes], frozenset[bytes], re.Pattern[bytes] | None]:
        """Return all runs of what is long, some of what is very long, and an expression for what is short."""
        runs: set[bytes] = set()
        parts: set[bytes] = set()
        short: set[bytes] = set()
        for text in self._texts:
            for form in _list_forms(text.encode("utf-8", "surrogatepass")):
                if len(form) > _LONG:
                    parts.update(form[start : start + _RUN] for start in range(0, len(form) - _RUN + 1, _RUN))
                elif len(form) >= _RUN:
                    runs.update(form[start : start + _RUN] for start in range(len(form) - _RUN + 1))
                else:
                    alone = len(form) < _SHORT
                    word = re.escape(form)
                    short.add(rb"(?<![a-z0-9])" + word + rb"(?![a-z0-9])" if alone else word)
        return frozenset(runs), frozenset(parts), re.compile(b"|".join(sorted(short))) if short else None

    def _find(self, folded: bytes) -> list[tuple[int, int]]:
        runs, parts, short = self._needles
        found = [match.span() for match in short.finditer(folded)] if short else []
        if runs:
            found += [
                (start, start + _RUN) for start in range(len(folded) - _RUN + 1) if folded[start : start + _RUN] in runs
            ]
        if parts:
            found += [
                (max(0, start - _RUN + 1), min(len(folded), start + 2 * _RUN - 1))
                for start in range(len(folded) - _RUN + 1)
                if folded[start : start + _RUN] in parts
            ]
        return found


class Sent:
    """What several clients have sent in confidence, the last of it, and what they must never show from the beginning.

    A gateway before both sides, or a setting that went to the wrong one, brings a text of one side back from the other.
    """

    def __init__(self, always: Iterable[str] = ()) -> None:
        self._always = tuple(always)
        self._last: dict[str, None] = {}
        self.confidential = Confidential(self._always)

    def keep(self, texts: Iterable[str]) -> None:
        """Know these texts for good."""
        if more := tuple(text for text in texts if text and text not in self._always):
            self._always += more
            self.confidential = Confidential((*self._always, *self._last))

    def remember(self, texts: Iterable[str]) -> None:
        """Know these texts until many others were sent."""
        for text in texts:
            if text and text not in self._last and text not in self._always:
                self._last[text] = None
                for old in list(self._last)[:-_REMEMBERED]:
                    del self._last[old]
                self.confidential = Confidential((*self._always, *self._last))


NOTHING = Confidential()
"""Where nothing was sent in confidence."""


def list_credentials(url: str | None) -> tuple[str, ...]:
    """Return what is secret in an address with a user name and a password: the password, and both as they are sent."""
    parts = urlsplit(url or "")
    if parts.password is None:
        return ()
    user, password = unquote(parts.username or ""), unquote(parts.password)
    both = f"{user}:{password}"
    return (password, base64.b64encode(both.encode()).decode())


def _list_forms(secret: bytes) -> list[bytes]:
    """Return a secret as it may be sent: itself, and in base64 at any place of a longer text; escapes are undone.

    In base64 also as a form has it: percent-encoded first.
    """
    forms = {_fold(secret), _fold(secret.hex().encode())}
    for sent in {secret, quote_plus(secret).encode(), quote(secret, safe="").encode()}:
        for shift in range(3 if len(sent) > 4 else 0):
            encoded = base64.b64encode(b"\0" * shift + sent + b"\0" * (-(len(sent) + shift) % 3))
            # The first and the last signs depend on what stands before and behind.
            inner = encoded[-(-shift * 8 // 6) : (shift + len(sent)) * 8 // 6]
            forms |= {_fold(inner), _fold(inner.replace(b"+", b"-").replace(b"/", b"_"))}
    return sorted(forms)


def _fold(content: bytes) -> bytes:
    return content.lower().replace(b"+", b" ")


def _undo_escapes(content: bytes, places: list[int]) -> tuple[bytes, list[int]]:
    """Return the content with one layer of escapes undone, and where each of its bytes (and its end) came from."""
    plain = bytearray()
    origin: list[int] = []
    last = 0
    for match in _ESCAPE.finditer(content):
        plain += content[last : match.start()]
        origin += places[last : match.start()]
        meant = _read_escape(match)
        plain += meant
        origin += [places[match.start()]] * len(meant)
        last = match.end()
    plain += content[last:]
    origin += places[last:]
    return bytes(plain), origin


def _read_escape(match: re.Match[bytes]) -> bytes:
    percent, unit, byte, sign, hexadecimal, decimal, name = match.groups()
    if percent or byte:
        return bytes([int(percent or byte, 16)])
    if sign:
        return bytes(sign)
    if name:
        return html.unescape(match[0].decode()).encode()
    number = int(unit or hexadecimal or b"0", 16) if unit or hexadecimal else int(decimal)
    return chr(number).encode("utf-8", "surrogatepass") if number < 0x110000 else match[0]


def _cover(content: bytes, spans: list[tuple[int, int]]) -> bytes:
    covered = bytearray()
    last = 0
    for start, end in sorted(spans):
        if start > last or not covered:
            covered += content[last:start] + _MASK
        last = max(last, end)
    return bytes(covered + content[last:])
