"""The structure of a CEL expression: operands with what follows them, calls, brackets, operators in between. Pure.

The CEL library tells the names of an expression only, not what belongs to what. This reader knows no precedence of
operators, which no question asked here needs. It is meant for texts that the library has accepted; of any other it
gives something, or a ValueError.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

_TOKEN = re.compile(
    r"""
    (?P<gap>\s+|//[^\n]*)
    |(?P<raw>(?:[rR][bB]?|[bB][rR])(?:\"\"\".*?\"\"\"|'''.*?'''|"[^"\n]*"|'[^'\n]*'))
    |(?P<text>[bB]?(?:\"\"\"(?:[^\\]|\\.)*?\"\"\"|'''(?:[^\\]|\\.)*?'''|"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*'))
    |(?P<name>[A-Za-z_]\w*)
    |(?P<number>[0-9]\w*(?:\.[0-9]\w*)?)
    |(?P<sign>&&|\|\||==|!=|<=|>=|.)
    """,
    re.VERBOSE | re.DOTALL | re.ASCII,
)
_CLOSERS = {"(": ")", "[": "]", "{": "}"}
_WORD_OPERATORS = frozenset({"in"})


@dataclass(frozen=True, slots=True)
class Name:
    """A name that stands alone, ``user`` for one."""

    text: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Literal:
    """A number or a text. ``key``: what a plain text literal says; None for any other."""

    key: str | None
    start: int
    end: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Bracket:
    """Round, square or curly brackets with what stands in them, parted at the commas."""

    opener: str
    parts: tuple[Expr, ...]
    start: int
    end: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Select:
    """``base.name``."""

    base: Node
    name: str
    start: int
    end: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Index:
    """``base[…]``. ``key``: the plain text literal in the brackets, None for anything else."""

    base: Node
    inner: tuple[Expr, ...]
    key: str | None
    start: int
    end: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """``base.name(…)`` or ``name(…)``. ``name_start`` and ``name_end``: where the name stands."""

    base: Node | None
    name: str
    arguments: tuple[Expr, ...]
    name_start: int
    name_end: int
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Operator:
    """What stands between operands, or before one."""

    text: str
    start: int
    end: int


Node = Name | Literal | Bracket | Select | Index | Call
Expr = tuple[Node | Operator, ...]


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    text: str
    start: int

    @property
    def end(self) -> int:
        return self.start + len(self.text)

    @property
    def key(self) -> str | None:
        """Return what a plain text literal says; None for what would have to be worked out."""
        plain = self.kind == "text" and self.text[0] in "\"'" and not self.text.startswith(('"""', "'''"))
        return self.text[1:-1] if plain and "\\" not in self.text else None


def parse(text: str) -> Expr:
    """Read an expression; raises ValueError for a text that is none, or that is nested too deeply."""
    reader = _Reader(tuple(_read_tokens(text)))
    try:
        found = reader.read_until(frozenset())
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
    if not reader.at_end:
        raise ValueError("its brackets do not match")
    return found


def get_start(expression: Expr) -> int:
    """Return where an expression begins."""
    return expression[0].start


def get_end(expression: Expr) -> int:
    """Return where an expression ends."""
    return expression[-1].end


def _read_tokens(text: str) -> Iterator[_Token]:
    for match in _TOKEN.finditer(text):
        if match.lastgroup is not None and match.lastgroup != "gap":
            yield _Token(match.lastgroup, match[0], match.start())


def _make_call(base: Node | None, name: _Token, *, arguments: tuple[Expr, ...], start: int, end: int) -> Call:
    return Call(
        base=base,
        name=name.text,
        arguments=arguments,
        name_start=name.start,
        name_end=name.end,
        start=start,
        end=end,
    )


class _Reader:
    def __init__(self, tokens: tuple[_Token, ...]) -> None:
        self._tokens = tokens
        self._at = 0

    @property
    def at_end(self) -> bool:
        return self._at >= len(self._tokens)

    def read_until(self, stops: frozenset[str]) -> Expr:
        """Read operands and operators up to one of these signs, which is left."""
        found: list[Node | Operator] = []
        while not self.at_end and not (self._peek().kind == "sign" and self._peek().text in stops):
            token = self._tokens[self._at]
            if token.kind in ("raw", "text", "number"):
                self._at += 1
                found.append(self._follow(Literal(token.key, token.start, token.end)))
            elif token.kind == "name" and token.text not in _WORD_OPERATORS:
                self._at += 1
                found.append(self._follow(self._read_name(token)))
            elif token.text in _CLOSERS:
                parts, end = self._read_bracket()
                found.append(self._follow(Bracket(opener=token.text, parts=parts, start=token.start, end=end)))
            elif token.text in (")", "]", "}"):
                raise ValueError("its brackets do not match")
            else:
                self._at += 1
                found.append(Operator(token.text, token.start, token.end))
        return tuple(found)

    def _peek(self, ahead: int = 0) -> _Token:
        at = self._at + ahead
        return self._tokens[at] if at < len(self._tokens) else _Token("end", "", 0)

    def _read_name(self, token: _Token) -> Node:
        if self._peek().text == "(":
            arguments, end = self._read_bracket()
            return _make_call(None, token, arguments=arguments, start=token.start, end=end)
        return Name(token.text, token.start, token.end)

    def _read_bracket(self) -> tuple[tuple[Expr, ...], int]:
        """Read from an opening bracket to its closing one; return the parts and where it ends."""
        closer = _CLOSERS[self._peek().text]
        self._at += 1
        parts: list[Expr] = []
        while True:
            part = self.read_until(frozenset({",", closer}))
            if part:
                parts.append(part)
            if self.at_end:
                raise ValueError("its brackets do not match")
            token = self._tokens[self._at]
            self._at += 1
            if token.text == closer:
                return tuple(parts), token.end

    def _follow(self, node: Node) -> Node:
        """Read what follows an operand: properties, calls and indexes."""
        while True:
            first, second = self._peek(), self._peek(1)
            if first.text == "." and second.kind == "name":
                self._at += 2
                if self._peek().text == "(":
                    arguments, end = self._read_bracket()
                    node = _make_call(node, second, arguments=arguments, start=node.start, end=end)
                else:
                    node = Select(base=node, name=second.text, start=node.start, end=second.end)
            elif first.text == "[":
                inner, end = self._read_bracket()
                only = inner[0][0] if len(inner) == 1 and len(inner[0]) == 1 else None
                key = only.key if isinstance(only, Literal) else None
                node = Index(base=node, inner=inner, key=key, start=node.start, end=end)
            else:
                return node
