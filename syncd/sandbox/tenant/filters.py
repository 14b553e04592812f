"""``$filter``: comparisons, ``startswith``, ``endswith``, ``in`` and ``any``, joined by ``and``, ``or`` and ``not``.

What needs an advanced query (``ConsistencyLevel: eventual`` and ``$count=true``) is refused without one: ``ne``,
``not`` and ``endswith`` ("Advanced query capabilities on directory objects"). Texts are compared without case, as the
directory does it. Everything else that OData knows is refused.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable
from dataclasses import dataclass

from syncd.clock import Clock
from syncd.sandbox.tenant.objects import Node
from syncd.sandbox.tenant.odata import refuse
from syncd.sandbox.tenant.schema import SCHEMAS
from syncd.sandbox.tenant.selection import Selector
from syncd.sandbox.wire.http import Refusal

Test = Callable[[Node], bool]
_Value = object
_TOKEN = re.compile(r"\s*(?:('(?:[^']|'')*')|([()/,:])|([^\s()/,:']+(?::[^\s()/,']+)*))")
_DEPTH = 20
_ORDERED: dict[str, Callable[[str, str], bool]] = {
    "gt": operator.gt,
    "ge": operator.ge,
    "lt": operator.lt,
    "le": operator.le,
}
_WORDS: dict[str, str | bool | None] = {"true": True, "false": False, "null": None}
_STARTS = {"startswith": str.startswith, "endswith": str.endswith}


def parse_filter(text: str, *, kind: str, selector: Selector, advanced: bool, clock: Clock) -> Test:
    """Return the test that a filter of a list of that entity type is. Raises Refusal for anything not understood."""
    return _Parser(text, kind=kind, selector=selector, advanced=advanced, clock=clock).parse()


@dataclass(frozen=True, slots=True)
class _Path:
    """A property, perhaps one inside of a complex property."""

    names: tuple[str, ...]
    selector: Selector

    def value(self, node: Node) -> object:
        name = self.selector.spell(node.kind, self.names[0])
        value: object = node.id if name == "id" else node.properties.get(name or "")
        for inner in self.names[1:]:
            found = {key.casefold(): each for key, each in value.items()} if isinstance(value, dict) else {}
            value = found.get(inner.casefold())
        return value


class _Parser:
    def __init__(self, text: str, *, kind: str, selector: Selector, advanced: bool, clock: Clock) -> None:
        self._kind = kind
        self._selector = selector
        self._advanced = advanced
        self._clock = clock
        self._depth = 0
        self._tokens: list[str] = []
        at = 0
        while at < len(text.rstrip()):
            found = _TOKEN.match(text, at)
            if found is None:
                raise self._refuse("Invalid filter clause")
            self._tokens.append(found[1] or found[2] or found[3])
            at = found.end()

    def parse(self) -> Test:
        test = self._either()
        if self._tokens:
            raise self._refuse("Invalid filter clause")
        return test

    def _either(self) -> Test:
        tests = [self._both()]
        while self._accept("or"):
            tests.append(self._both())
        return tests[0] if len(tests) == 1 else lambda node: any(test(node) for test in tests)

    def _both(self) -> Test:
        tests = [self._one()]
        while self._accept("and"):
            tests.append(self._one())
        return tests[0] if len(tests) == 1 else lambda node: all(test(node) for test in tests)

    def _one(self) -> Test:
        self._depth += 1
        if self._depth > _DEPTH:
            raise self._refuse("The filter is nested too deep")
        try:
            if self._accept("not"):
                self._need_advanced("Not")
                test = self._one()
                return lambda node: not test(node)
            if self._accept("("):
                inner = self._either()
                self._expect(")")
                return inner
            return self._clause()
        finally:
            self._depth -= 1

    def _clause(self) -> Test:
        name = self._take()
        if name.casefold() in _STARTS and self._accept("("):
            return self._ends(name.casefold())
        names = [name]
        while self._accept("/"):
            names.append(self._take())
        if names[-1].casefold() == "any" and len(names) > 1:
            return self._any(self._path(*names[:-1]))
        path, compare = self._path(*names), self._comparison()
        return lambda node: compare(path.value(node))

    def _ends(self, function: str) -> Test:
        path = self._path(self._take())
        self._expect(",")
        part = self._literal()
        self._expect(")")
        if function == "endswith":
            self._need_advanced("EndsWith")
        if not isinstance(part, str):
            raise self._refuse("Invalid filter clause")
        fits = _STARTS[function]

        def test(node: Node) -> bool:
            value = path.value(node)
            return isinstance(value, str) and fits(value.casefold(), part.casefold())

        return test

    def _any(self, path: _Path) -> Test:
        self._expect("(")
        variable, colon, repeated = self._take().partition(":")
        if not colon:
            self._expect(":")
        if (repeated or self._take()) != variable:
            raise self._refuse("Invalid filter clause")
        compare = self._comparison()
        self._expect(")")

        def test(node: Node) -> bool:
            value = path.value(node)
            return isinstance(value, list) and any(compare(each) for each in value)

        return test

    def _comparison(self) -> Callable[[_Value], bool]:
        name = self._take().casefold()
        if name == "in":
            self._expect("(")
            wanted = [self._literal()]
            while self._accept(","):
                wanted.append(self._literal())
            self._expect(")")
            return lambda value: any(_equal(value, each) for each in wanted)
        other = self._literal()
        if name == "ne":
            self._need_advanced("NotEqualsMatch")
            return lambda value: not _equal(value, other)
        if name == "eq":
            return lambda value: _equal(value, other)
        if name in _ORDERED and isinstance(other, str):
            compare = _ORDERED[name]
            return lambda value: isinstance(value, str) and compare(value.casefold(), other.casefold())
        raise self._refuse(f"Unsupported operator '{name}'")

    def _path(self, *names: str) -> _Path:
        if self._kind in SCHEMAS:
            self._selector.require(self._kind, names[0])
        return _Path(names, self._selector)

    def _literal(self) -> str | bool | None:
        text = self._take()
        if text.startswith("'"):
            return text[1:-1].replace("''", "'")
        return _WORDS.get(text.casefold(), text)

    def _take(self) -> str:
        if not self._tokens:
            raise self._refuse("Invalid filter clause")
        return self._tokens.pop(0)

    def _accept(self, word: str) -> bool:
        if self._tokens and self._tokens[0].casefold() == word:
            self._tokens.pop(0)
            return True
        return False

    def _expect(self, word: str) -> None:
        if not self._accept(word):
            raise self._refuse("Invalid filter clause")

    def _need_advanced(self, name: str) -> None:
        if not self._advanced:
            raise self._refuse(f"Unsupported property filter clause operator '{name}'.")

    def _refuse(self, message: str) -> Refusal:
        return refuse(self._clock, 400, "Request_UnsupportedQuery", message)


def _equal(value: object, other: str | bool | None) -> bool:
    if isinstance(value, str) and isinstance(other, str):
        return value.casefold() == other.casefold()
    return value is other
