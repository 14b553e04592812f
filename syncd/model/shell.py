"""Words of a command as a person may type them: what a shell would take apart is put into double quotes."""

from __future__ import annotations

import re

_PLAIN = re.compile(r"[\w@%+=:,./-]+")
_SPECIAL = re.compile(r'(["\\$`])')


def quote_word(word: str) -> str:
    """Return a word for a command that is suggested; double quotes, since single ones surround the command."""
    return word if _PLAIN.fullmatch(word) else '"{}"'.format(_SPECIAL.sub(r"\\\1", word))
