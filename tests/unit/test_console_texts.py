"""The texts of the console: every language says everything, with the same values, and the right reader gets it."""

from __future__ import annotations

import re
from string import Formatter

import pytest

from syncd.web.console.texts.catalogue import LANGUAGES, Texts, choose_language
from syncd.web.console.view import FOLDER

OTHERS = sorted(set(LANGUAGES) - {"en"})
SAME = {"OK"}


def list_values(text: str) -> set[str]:
    """Return the names of the values that belong into a text."""
    return {name for _, name, _, _ in Formatter().parse(text) if name is not None}


@pytest.mark.parametrize("language", OTHERS)
def test_every_language_has_every_text_with_the_same_values(language: str) -> None:
    """A text that is missing, or left over, or lost a value, is found here."""
    english, other = LANGUAGES["en"], LANGUAGES[language]
    assert {"missing": english.keys() - other.keys(), "left over": other.keys() - english.keys()} == {
        "missing": set(),
        "left over": set(),
    }
    differing = [key for key in english if list_values(english[key]) != list_values(other[key])]
    assert differing == []


@pytest.mark.parametrize("language", OTHERS)
def test_texts_are_translated(language: str) -> None:
    """But for a few words that are the same in both."""
    same = [key for key, text in LANGUAGES["en"].items() if LANGUAGES[language][key] == text]
    assert set(same) <= {"sign_in.token"}


def test_templates_use_texts_that_there_are() -> None:
    """And no text is left that no page uses."""
    files = [*FOLDER.glob("templates/*.html"), *FOLDER.rglob("*.py")]
    used, beginnings = set[str](), set[str]()
    for path in files:
        if path.parent.name == "texts":
            continue
        source = path.read_text(encoding="utf-8")
        used |= set(re.findall(r"""["']([a-z_]+\.[a-z_]+)["']""", source)) & LANGUAGES["en"].keys()
        beginnings |= set(re.findall(r"""["']([a-z_]+\.[a-z_]*)["']\s*~""", source))
        beginnings |= {found.partition("{")[0] for found in re.findall(r"""f["']([a-z_]+\.[a-z_]*\{)""", source)}
        beginnings |= set(re.findall(r"""["']([a-z_]+\.)["'],""", source))
        for key in re.findall(r"""\bt\(['"]([a-z_.]+[a-z])['"][,)]""", source):
            assert key in LANGUAGES["en"], f"{path.name}: {key}"
    dynamic = {"users.title", "groups.title", "time.", "orphans.", "drift.what_"}
    unused = [
        key
        for key in LANGUAGES["en"]
        if key not in used and not key.startswith(tuple(beginnings - {""})) and not key.startswith(tuple(dynamic))
    ]
    assert unused == []


@pytest.mark.parametrize(
    ("chosen", "accepted", "language"),
    [
        (None, "", "en"),
        (None, "pl", "pl"),
        (None, "pl-PL,pl;q=0.9,en;q=0.8", "pl"),
        (None, "en;q=0.8,pl;q=0.9", "pl"),
        (None, "de, fr;q=0.9", "en"),
        (None, "de, pl;q=0", "en"),
        (None, "pl;q=x, en", "en"),
        ("pl", "en", "pl"),
        ("en", "pl", "en"),
        ("xx", "pl", "pl"),
        (None, "," * 10_000, "en"),
    ],
)
def test_the_reader_gets_the_language_that_was_chosen_or_is_accepted(
    chosen: str | None, accepted: str, language: str
) -> None:
    """A choice beats what the browser asks for; what there is not is English."""
    assert choose_language(chosen, accepted) == language


def test_numbers_are_written_as_in_that_language() -> None:
    """With a comma, or with a space that does not break."""
    assert Texts("en")("held.number", n=12345).startswith("12,345")
    assert "12\u00a0345" in Texts("pl")("held.number", n=12345)


def test_a_word_without_a_text_is_shown_as_it_is() -> None:
    """A newer kind of run, say."""
    assert Texts("pl").known("kind.some_new_kind") == "some new kind"
