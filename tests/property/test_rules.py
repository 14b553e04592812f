"""Rules at random: reading an expression changes nothing that the CEL library gets right, and fails for nobody else."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from syncd.plan.cel.expressions import Expression, ExpressionFailed
from syncd.plan.cel.library import add_stdlib_to_context, cel
from syncd.plan.cel.references import find_references

NAMES = ("mail", "department", "displayName", "jobTitle")
LISTS = ("businessPhones", "otherMails", "identities")
BLANKS = st.sampled_from(["", " ", "\n", " // a comment (with \"marks'\n"])
WORDS = st.text("aż'\" .()[]{}\\/", max_size=4)


def quote(text: str) -> str:
    """Return a text as a CEL literal."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


TEXTS = st.one_of(
    WORDS.map(quote), WORDS.filter(lambda word: not set(word) & set("'\\")).map(lambda word: f"r'{word}'")
)
PROPERTIES = st.sampled_from([*(f"user.{name}" for name in NAMES), *(f'user["{name}"]' for name in NAMES)])
BOUND = st.sampled_from(["x.issuer", "x", "y", "y.issuer"])
OPERANDS = st.recursive(
    st.one_of(TEXTS, PROPERTIES, st.sampled_from(["1", "2.5", "true", "null", "user.businessPhones[0]"])),
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from(["==", "!=", "+", "<", "&&", "||", "in"]), inner, BLANKS).map(
            lambda part: f"({part[0]}{part[3]} {part[1]} {part[2]})"
        ),
        inner.map(lambda part: f"[{part}, {part}]"),
        inner.map(lambda part: f"{{'k': {part}}}.k"),
        inner.map(lambda part: f"(true ? {part} : {part})"),
        inner.map(lambda part: f"{part}.contains('a')"),
        inner.map(lambda part: f"string({part})"),
        st.tuples(st.sampled_from(LISTS), st.sampled_from(["exists", "all", "map", "filter"]), inner, BOUND).map(
            lambda part: f"user.{part[0]}.{part[1]}(x, user.otherMails.{part[1]}(y, {part[3]} == {part[2]}))"
        ),
        st.tuples(st.sampled_from(LISTS), inner).map(lambda part: f"user.{part[0]}.exists(x, x == {part[1]})"),
    ),
    max_leaves=8,
)
VALUES = st.one_of(st.none(), WORDS)
PEOPLE = st.fixed_dictionaries(
    {
        **dict.fromkeys(NAMES, VALUES),
        "businessPhones": st.lists(WORDS, max_size=3),
        "otherMails": st.lists(WORDS, max_size=3),
        "identities": st.lists(st.fixed_dictionaries({}, optional={"issuer": VALUES}), max_size=3),
    }
)


def run_library(text: str, person: dict[str, Any]) -> tuple[bool, Any]:
    """Return whether the library by itself comes to a value, and which."""
    context = cel.Context({"user": person})
    add_stdlib_to_context(context)
    try:
        return True, cel.compile(text).execute(context)
    except (LookupError, TypeError, ValueError, RuntimeError, ArithmeticError):
        return False, None


@pytest.mark.again
@settings(max_examples=300)
@given(text=OPERANDS, person=PEOPLE)
def test_what_the_library_gets_right_stays_as_it_is(text: str, person: dict[str, Any]) -> None:
    """A value of the library is our value; where it fails we fail for that person, or find the value it cannot."""
    works, value = run_library(text, person)
    try:
        expression = Expression(text)
    except ValueError:
        assert not works
        return
    try:
        ours = expression.evaluate("user", person)
    except ExpressionFailed:
        assert not works
        return
    if works:
        assert (ours, type(ours)) == (value, type(value))


@pytest.mark.again
@settings(max_examples=200)
@given(text=OPERANDS, blanks=BLANKS)
def test_everything_that_is_looked_at_is_found(text: str, blanks: str) -> None:
    """Without comments and blanks, in brackets, in texts: the same properties, and none that only a text names."""
    found = find_references(text).paths["user"]
    heads = {path[0] for path in found}
    assert heads == {name for name in (*NAMES, *LISTS) if f"user.{name}" in text or f'user["{name}"]' in text}
    assert find_references(f"({blanks}{text}{blanks})").paths["user"] == found
