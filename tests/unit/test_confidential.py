"""What was sent never comes back in words: in no encoding, and not in part."""

from __future__ import annotations

import base64
import html
import json
import random
import string
import time
from collections.abc import Callable
from urllib.parse import quote, quote_plus, urlencode

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from syncd.http.confidential import Confidential, list_credentials
from syncd.logs.quotes import hide_quotes
from syncd.logs.quotes import quote as put_in_quotes
from syncd.logs.redaction import MASK, redact_text

SECRET = "s+E/c=r&t~9 'q\"ż-Zażółć"
TOKEN = "eyJ0eXAiOiJKV1Qi." + "Qm9yIGluIHRoZSBtb3JuaW5n" * 20 + ".c2lnbmF0dXJl"


def escape_units(text: str) -> str:
    """Escape every character as JSON may."""
    return "".join(f"\\u{ord(sign):04x}" for sign in text)


FORMS: dict[str, Callable[[str], str]] = {
    "as it is": str,
    "percent": lambda text: quote(text, safe=""),
    "percent in lower case": lambda text: quote(text, safe="").lower(),
    "form": quote_plus,
    "percent twice": lambda text: quote(quote(text, safe=""), safe=""),
    "json": lambda text: json.dumps(text)[1:-1],
    "json with slashes": lambda text: json.dumps(text, ensure_ascii=False)[1:-1].replace("/", "\\/"),
    "json units": escape_units,
    "json in json": lambda text: json.dumps(json.dumps(text))[1:-1],
    "html": html.escape,
    "html in decimal": lambda text: "".join(f"&#{ord(sign)};" for sign in text),
    "upper case": lambda text: "".join(sign.upper() if sign.isascii() else sign for sign in text),
    "base64": lambda text: base64.b64encode(text.encode()).decode(),
    "base64 of a pair": lambda text: base64.b64encode(f"id:{text}".encode()).decode(),
    "base64 of a longer pair": lambda text: base64.b64encode(f"some:{text}:x".encode()).decode(),
    "base64 of a form": lambda text: base64.b64encode(urlencode({"p": text}).encode()).decode(),
    "base64 for addresses": lambda text: base64.urlsafe_b64encode(text.encode()).decode(),
    "hexadecimal": lambda text: text.encode().hex(),
    "plus as a blank": lambda text: text.replace("+", " "),
}


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS.keys())
@pytest.mark.parametrize("secret", [SECRET, TOKEN, "pass-word", "Pa55w0rd!"])
def test_nothing_of_it_is_left_in_any_encoding(secret: str, form: Callable[[str], str]) -> None:
    """Whatever stands around it stays."""
    shown = Confidential([secret]).mask(f"it was <{form(secret)}> there")
    assert MASK in shown
    assert shown.startswith("it was <")
    assert shown.endswith("> there")
    middle = shown.removeprefix("it was <").removesuffix("> there").replace(MASK, "")
    assert len(middle) < 14, shown  # what base64 makes of the signs beside it
    assert not any(secret[start : start + 5] in middle for start in range(len(secret) - 4))


@pytest.mark.parametrize("length", [10, 11, 40, 200])
def test_a_part_of_it_is_masked_too(length: int) -> None:
    """A side may show the beginning, the middle or the end only, and cut what it shows."""
    known = Confidential([TOKEN])
    for start in (0, 5, len(TOKEN) - length):
        part = TOKEN[start : start + length]
        assert known.mask(f"refused: {part}") == f"refused: {MASK}"


def test_a_very_long_token_is_known_by_parts_that_are_few() -> None:
    """Memory does not grow by hundreds of bytes for each of its characters; any twenty of them in a row are found."""
    token = "".join(random.Random(1).choices(string.ascii_letters + string.digits, k=60_000))
    known = Confidential([token])
    for start, length in ((0, 60_000), (17, 19), (31_007, 40), (59_900, 100)):
        shown = known.mask(f"refused for good: {token[start : start + length]} (of today)")
        assert token[start : start + 5] not in shown
        assert token[start + length - 5 : start + length] not in shown
        assert MASK in shown
    assert sum(map(len, known._needles[:2])) < 60_000
    assert known.mask("nothing of it") == "nothing of it"


def test_what_is_short_is_masked_only_where_it_stands_alone() -> None:
    """A password of four characters may be a part of any word."""
    known = Confidential(["test"])
    assert known.mask("the password test, not the latest") == f"the password {MASK}, not the latest"


@given(st.text(max_size=60), st.text(min_size=10, max_size=40).filter(str.strip))
@example("\\u00", "0000000000")
@example("%\udc80", "\udc80" * 10)
@example("&#99999999;&#xffffff;", "x" * 10)
def test_any_text_is_left_as_it_is_or_masked(text: str, secret: str) -> None:
    """Nothing raises, and what was sent is gone where it stood."""
    known = Confidential([secret])
    known.mask(text)
    assert secret not in known.mask(text + secret + text)


@given(st.text(alphabet="abcdefgh %&\\u0123456789;", max_size=300))
def test_a_text_that_repeats_nothing_is_unchanged(text: str) -> None:
    """Also one full of half escapes."""
    assert Confidential([TOKEN]).mask(text) == text


@pytest.mark.parametrize("piece", ["%41", "\\u0041", "&amp;", "&#65;", "\\", "a", TOKEN[:9] + "!"])
def test_masking_takes_linear_time(piece: str) -> None:
    """No error answer, however made, keeps the program busy: as much of one as is read takes a part of a second."""
    known = Confidential([TOKEN, SECRET])
    text = piece * (64_000 // len(piece))

    def measure() -> float:
        started = time.process_time()
        known.mask(text)
        return time.process_time() - started

    assert min(measure() for _ in range(3)) < 0.5


def test_the_credentials_of_an_address_are_the_password_and_what_is_sent() -> None:
    """Percent escapes of the setting are undone, as they are for the proxy."""
    assert list_credentials("http://anna:p%40ss@proxy.example:3128") == ("p@ss", "YW5uYTpwQHNz")
    assert list_credentials("http://proxy.example:3128") == ()
    assert list_credentials(None) == ()


def test_foreign_words_are_in_quotes_and_left_out_where_nobody_may_be_named() -> None:
    """Their own quotation marks and line ends cannot end them early, and a cut sentence shows none of them."""
    words = put_in_quotes("Anna ”Nowak“\n\x07exists")
    said = f"it answered 409 ValidationError: {words}; do this"
    assert said == 'it answered 409 ValidationError: “Anna "Nowak" exists”; do this'
    assert hide_quotes(said) == "it answered 409 ValidationError: “…”; do this"
    assert hide_quotes(said[:50]) == "it answered 409 ValidationError: “…”"
    assert redact_text(said) == "it answered 409 ValidationError: “…”; do this"
    assert redact_text(said, personal=True) == said
    assert put_in_quotes("  ") == ""
