"""What a CEL expression looks at, read from its text: attributes of ``user`` and ``group``, whatever the form. Pure.

The CEL library tells the names of variables only. An attribute that is overlooked here would never be asked of Graph
and read as null for everybody, so what cannot be told in advance (``user[x]``) is reported as a look at everything.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from syncd.model.kinds import RecordKind

Path = tuple[str, ...]

HAS = "_is"
"""The function that stands in for the macro ``has()`` over an attribute; as long, so that error columns stay true."""

_TOKEN = re.compile(
    r"""
    (?P<gap>\s+|//[^\n]*)
    |(?P<raw>(?:[rR][bB]?|[bB][rR])(?:\"\"\".*?\"\"\"|'''.*?'''|"[^"\n]*"|'[^'\n]*'))
    |(?P<text>[bB]?(?:\"\"\"(?:[^\\]|\\.)*?\"\"\"|'''(?:[^\\]|\\.)*?'''|"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*'))
    |(?P<name>[A-Za-z_]\w*)
    |(?P<number>[0-9][\w]*)
    |(?P<sign>.)
    """,
    re.VERBOSE | re.DOTALL | re.ASCII,
)
_MACROS = frozenset({"exists", "exists_one", "all", "map", "filter"})


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    text: str
    start: int

    @property
    def key(self) -> str | None:
        """Return the name that a plain string literal holds; None for anything that would have to be worked out."""
        plain = self.kind == "text" and self.text[0] in "\"'" and not self.text.startswith(('"""', "'''"))
        return self.text[1:-1] if plain and "\\" not in self.text else None


@dataclass(slots=True)
class References:
    """What an expression looks at.

    ``paths``: per variable the properties with what is looked at inside of them. ``lists``: properties over which it
    goes with a macro, which therefore are lists. ``whole``: variables that are used otherwise than by a property.
    ``bound``: names that macros bind. ``text``: the expression with ``has(user.…)`` made a call of ``HAS``.
    """

    text: str
    paths: dict[RecordKind, set[Path]] = field(default_factory=lambda: {"user": set(), "group": set()})
    lists: dict[RecordKind, set[str]] = field(default_factory=lambda: {"user": set(), "group": set()})
    whole: set[RecordKind] = field(default_factory=set)
    bound: set[str] = field(default_factory=set)


def find_references(text: str) -> References:
    """Read an expression; one that does not compile gives something, but nothing useful."""
    tokens = list(_read_tokens(text))
    found = References(text)
    for index, token in enumerate(tokens):
        after_dot = index > 0 and tokens[index - 1].text == "."
        if token.kind != "name":
            continue
        if after_dot and token.text in _MACROS and [t.text for t in tokens[index + 1 : index + 4 : 2]] == ["(", ","]:
            found.bound.add(tokens[index + 2].text)
        variable: RecordKind | None = "user" if token.text == "user" else "group" if token.text == "group" else None
        if variable is None or after_dot:
            continue
        _note(found, variable, tokens, index + 1)
        if index > 1 and tokens[index - 1].text == "(" and (macro := tokens[index - 2]).text == "has":
            found.text = f"{found.text[: macro.start]}{HAS}{found.text[macro.start + len(HAS) :]}"
    return found


def _note(found: References, variable: RecordKind, tokens: list[_Token], index: int) -> None:
    """Note the property that follows a variable, as deep as it is spelled out."""
    path: list[str] = []
    while True:
        following = [*tokens[index : index + 3], *[_Token("end", "", 0)] * 3][:3]
        first, second, third = following
        if first.text == "." and second.kind == "name" and third.text != "(":
            path.append(second.text)
            index += 2
        elif first.text == "[" and second.key is not None and third.text == "]":
            path.append(second.key)
            index += 3
        else:
            break
    if not path:
        found.whole.add(variable)
        return
    found.paths[variable].add(tuple(path))
    if len(path) == 1 and first.text == "." and second.text in _MACROS and third.text == "(":
        found.lists[variable].add(path[0])


def _read_tokens(text: str) -> Iterator[_Token]:
    for match in _TOKEN.finditer(text):
        if match.lastgroup is not None and match.lastgroup != "gap":
            yield _Token(match.lastgroup, match[0], match.start())
