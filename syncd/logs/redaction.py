"""What may stand in a log line. Takes out secrets always, people above debug level, and bounds every field.

Works on values of any kind and never raises. What it gives back consists of JSON's own types only.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from functools import lru_cache
from typing import TYPE_CHECKING, Literal

from syncd.logs.quotes import hide_quotes

if TYPE_CHECKING:
    from structlog.typing import EventDict, WrappedLogger

MASK = "********"
HIDDEN = "<hidden>"
FIELD_CHARACTERS = 2_000
PERSONAL_KEYS = frozenset({"upn", "name", "mail", "email", "phone", "bps_id", "display_name"})

_READ_CHARACTERS = 16_000
_ENTRIES = 50
_DEPTH = 4
_OWN_KEYS = frozenset({"time", "level", "logger"})

_SECRET_KEY = re.compile(
    r"secret|token|passw|pwd|passphrase|authori[sz]ation|assertion|credential|cookie|api_?key|private_?key"
    r"|webhook_?url|smtp_?url",
    re.IGNORECASE,
)
_HARMLESS_SUFFIX = re.compile(r"_(?:at|in|count|kind|file|seconds)$", re.IGNORECASE)
_WORDS = r"(?:secret|token|passwo?r?d|pwd|passphrase|assertion|api_?key)[\w-]{0,40}"
_VALUE = r"""(?:\\*"(?:[^"\\]|\\.?)*(?:"|$)|\\*'(?:[^'\\]|\\.?)*(?:'|$)|[^\s"'&,;<>)}\]]+)"""
_SECRETS: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"eyJ[\w-]{5,}(?:\.[\w-]*)*", re.ASCII), MASK),
    (re.compile(r"""(authorization["']?\s*[:=]\s*["']?(?:[a-z]+\s+)?)[^\s"',]+""", re.IGNORECASE), rf"\g<1>{MASK}"),
    (re.compile(r"\b(bearer\s+)[^\s\"',]{8,}", re.IGNORECASE), rf"\g<1>{MASK}"),
    (
        re.compile(rf"""({_WORDS}(?:\\*["']\s{{0,4}}:|\\*["']?\s{{0,4}}=)\s{{0,4}}){_VALUE}""", re.IGNORECASE),
        rf"\g<1>{MASK}",
    ),
    (re.compile(r"(\bsig=)[^\s&\"']+", re.IGNORECASE), rf"\g<1>{MASK}"),
    (re.compile(r"(://[^\s/@:]{0,256}:)[^\s@]{0,512}@"), rf"\g<1>{MASK}@"),
    (re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)", re.DOTALL), MASK),
)
# A search that fails is the common case, so it comes first; the expressions are bounded, so no text makes them slow.
_SUSPICIOUS = re.compile(
    r"eyJ|authori|bearer|secret|token|pass|pwd|assertion|api_?key|sig=|://|private key|@|%40", re.IGNORECASE
)
_DELIMITERS = r"\s\"'<>()\[\]{},;:=/?&@"
_ADDRESS = re.compile(
    rf"(?<![^{_DELIMITERS}])[^{_DELIMITERS}]+(?:'[^{_DELIMITERS}]+){{0,3}}(?:@|%40)[\w-]+(?:\.[\w-]+)+", re.IGNORECASE
)


def redact_event(logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
    """Return the event with every field fit to be written; a structlog processor."""
    del logger
    personal = event.get("level", method) == "debug"
    return {
        key: (value if key in _OWN_KEYS and isinstance(value, str) else _redact_field(key, value, personal=personal))
        for key, value in event.items()
    }


def redact_text(text: str, *, personal: bool = False) -> str:
    """Return the text without secrets; without foreign words, mail addresses and user names unless ``personal``."""
    if not personal:
        text = hide_quotes(text)
    if not _SUSPICIOUS.search(text):
        return text
    for pattern, replacement in _SECRETS:
        text = pattern.sub(replacement, text)
    if not personal and ("@" in text or "%40" in text):
        text = _ADDRESS.sub(lambda found: found[0] if MASK in found[0] else HIDDEN, text)
    return text


def _redact_field(key: object, value: object, *, personal: bool, depth: int = 0) -> object:
    name = key if isinstance(key, str) else ""
    if value is None or isinstance(value, bool):
        return value
    kind = _kind(name)
    if kind == "personal" and not personal:
        return HIDDEN
    if isinstance(value, int | float):
        return _number(value)
    if kind == "secret":
        return MASK
    if isinstance(value, Mapping | list | tuple | AbstractSet) and depth < _DEPTH:
        return _redact_collection(value, name, personal=personal, depth=depth)
    return _text(value, personal=personal, keep_end=name == "exception")


@lru_cache(maxsize=1024)
def _kind(name: str) -> Literal["personal", "secret", "plain"]:
    if name.casefold() in PERSONAL_KEYS:
        return "personal"
    return "secret" if _SECRET_KEY.search(name) and not _HARMLESS_SUFFIX.search(name) else "plain"


def _redact_collection(
    value: Mapping[object, object] | list[object] | tuple[object, ...] | AbstractSet[object],
    name: str,
    *,
    personal: bool,
    depth: int,
) -> object:
    try:
        if isinstance(value, Mapping):
            pairs = list(value.items())
            kept: dict[str, object] = {
                _text(key, personal=personal): _redact_field(key, inner, personal=personal, depth=depth + 1)
                for key, inner in pairs[:_ENTRIES]
            }
            if len(pairs) > _ENTRIES:
                kept["…"] = f"{len(pairs) - _ENTRIES} more"
            return kept
        entries = list(value)
    except Exception as error:  # noqa: BLE001 - a foreign container may do anything; a log line must not fail for it
        return f"<unreadable {type(value).__name__}: {type(error).__name__}>"
    shown = [_redact_field(name, inner, personal=personal, depth=depth + 1) for inner in entries[:_ENTRIES]]
    return [*shown, f"… {len(entries) - _ENTRIES} more"] if len(entries) > _ENTRIES else shown


def _number(value: float) -> object:
    """Return a plain number, or a text where JSON has no such number or nobody would read it."""
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else float.__repr__(value)
    return int(value) if value.bit_length() <= 256 else f"<number of {value.bit_length()} bits>"


def _text(value: object, *, personal: bool, keep_end: bool = False) -> str:
    """Return the value as bounded, redacted text; of a traceback the end is kept, of anything else the beginning."""
    try:
        text = str(value)
    except Exception as error:  # noqa: BLE001 - any object may be logged; a log line must not fail for it
        return f"<unprintable {type(value).__name__}: {type(error).__name__}>"
    whole = len(text)
    if whole > _READ_CHARACTERS:
        # Cut between lines when the end is kept, so that no secret loses the part by which it is recognised.
        text = text[-_READ_CHARACTERS:].partition("\n")[2] if keep_end else text[:_READ_CHARACTERS]
    text = redact_text(text, personal=personal)
    if not text.isascii():
        text = text.encode("utf-8", "backslashreplace").decode()
    if len(text) <= FIELD_CHARACTERS and whole <= _READ_CHARACTERS:
        return text
    note = f"… [cut, {whole} characters]"
    return f"{note}\n{text[-FIELD_CHARACTERS:]}" if keep_end else f"{text[:FIELD_CHARACTERS]}{note}"
