"""The texts of the console: every language says everything, with the same values, and the right reader gets it."""

from __future__ import annotations

import re
from string import Formatter
from typing import get_args

import pytest

from syncd.model.change import Action, ObjectKind, OutcomeStatus
from syncd.model.reason import Cause
from syncd.model.run import RunKind, RunStatus, Trigger
from syncd.model.target import ACCOUNT_FIELDS, Status
from syncd.plan.desired import LEAVER_STATES
from syncd.plan.drift import LINK_FIELDS, RECORD
from syncd.plan.report.due import What
from syncd.plan.report.orphans import OrphanClass
from syncd.plan.report.status import ObjectStatus
from syncd.plan.words import SENTENCES
from syncd.web.console.texts.catalogue import CAUSES, LANGUAGES, Texts, choose_language
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
    dynamic = {"users.title", "groups.title", "time.", "orphans.", "drift.what_", "leaver."}
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


def test_reasons_without_values_are_translated_by_their_cause() -> None:
    """All of those that stand beside a change or a person, and no other: the rest is said in English, and marked."""
    told_of_runs = {Cause.LICENCES_REFUSED, Cause.LICENCES_PERPETUAL, Cause.SUBSTITUTIONS_REFUSED}
    told_of_runs |= {Cause.PRIVILEGES_REFUSED}
    of_leavers = {Cause.DISABLED, Cause.DELETED, Cause.RENAMED}  # a leaver's has the grace in it as well
    plain = {cause for cause, sentence in SENTENCES.items() if not list_values(sentence)}
    wanted = {cause.value for cause in plain - told_of_runs - of_leavers}
    for language in OTHERS:
        assert CAUSES[language].keys() == wanted
    texts = Texts("pl")
    assert texts.reason("put_in_by_hand", "put in by hand") == "dodano ręcznie"
    assert texts.reason("disabled", "disabled") == "wyłączone w dzierżawie"
    assert texts.reason("disabled", "disabled, and the grace has ended (30d)") == ""
    assert texts.reason("guard", "guard.max_removals: …") == ""
    assert Texts("en").reason("put_in_by_hand", "put in by hand") == ""


@pytest.mark.parametrize("language", sorted(LANGUAGES))
def test_closed_lists_have_a_text_for_every_word(language: str) -> None:
    """A new state, action, kind or status is missed here, and not by a reader."""
    closed: dict[str, tuple[str, ...]] = {
        "status": get_args(RunStatus),
        "kind": get_args(RunKind),
        "trigger": get_args(Trigger),
        "state": get_args(ObjectStatus),
        "action": get_args(Action),
        "object": get_args(ObjectKind),
        "outcome": get_args(OutcomeStatus),
        "due": get_args(What),
        "orphans": get_args(OrphanClass),
        "record": get_args(Status),
        "field": (*ACCOUNT_FIELDS, *LINK_FIELDS.values(), RECORD),
        "leaver": (*LEAVER_STATES, "renamed"),
    }
    missing = [f"{kind}.{word}" for kind, words in closed.items() for word in words]
    assert [key for key in missing if key not in LANGUAGES[language]] == []


def test_a_word_without_a_text_is_shown_as_it_is() -> None:
    """A newer kind of run, say."""
    assert Texts("pl").known("kind.some_new_kind") == "some new kind"


@pytest.mark.parametrize(
    ("number", "english", "polish"),
    [(1, "1 more group is", "1 grupa"), (3, "3 more groups are", "3 grupy"), (12, "12 more groups are", "12 grup"),
     (22, "22 more groups are", "22 grupy"), (1005, "1,005 more groups are", "1\u00a0005 grup")],
)  # fmt: skip
def test_a_number_has_the_word_that_goes_with_it(number: int, english: str, polish: str) -> None:
    """One and many in English; one, few and many in Polish."""
    assert Texts("en")("explain.paths_left", n=number) == f"{english} in the list."
    assert Texts("pl")("explain.paths_left", n=number) == f"I jeszcze {polish} na liście."
