"""Words of the other side within a sentence of ours: between quotation marks, and left out where nobody may be named.

What a portal or a gateway says in its own words may name a person. It stays in what an operator asks for (as ``runs
show`` and ``check``). Logs, the status page and messages to a hook show the rest of our sentence.
"""

from __future__ import annotations

import re

_OPEN, _CLOSE = "\N{LEFT DOUBLE QUOTATION MARK}", "\N{RIGHT DOUBLE QUOTATION MARK}"
_LEFT_OUT = f"{_OPEN}\N{HORIZONTAL ELLIPSIS}{_CLOSE}"
_MARKS = re.compile(f"[{_OPEN}{_CLOSE}]")
_QUOTED = re.compile(f"{_OPEN}[^{_CLOSE}]*(?:{_CLOSE}|$)")


def quote(words: str) -> str:
    """Return foreign words between quotation marks, on one line; nothing for no words."""
    plain = _MARKS.sub('"', words.encode("utf-8", "replace").decode())
    line = " ".join("".join(sign if sign.isprintable() else " " for sign in plain).split())
    return f"{_OPEN}{line}{_CLOSE}" if line else ""


def hide_quotes(text: str) -> str:
    """Return a sentence of ours without the foreign words that `quote` put into it, also where it was cut short."""
    return _QUOTED.sub(_LEFT_OUT, text) if _OPEN in text else text
