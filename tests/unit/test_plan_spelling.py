"""What a portal may have made of a value by itself, and what it cannot have."""

from __future__ import annotations

import pytest

from syncd.model.target import fold
from syncd.plan.spelling import is_same_text, is_spelling


@pytest.mark.parametrize(
    ("sent", "shown", "expected"),
    [
        ("Ann  Smith ", "Ann Smith", True),
        ("Ann Smith", "ann smith", True),
        ("Straße", "STRASSE", True),
        ("Head of Everything", "Head of Ev", True),
        ("Head of Everything", "head of ev ", True),
        ("Head of Everything", "Head", False),
        ("Head of Everything", "Everything", False),
        ("Head of Everything", "Head of Everything Else", False),
        ("Head", "", False),
        ("Head", "  ", False),
        ("Head", "Head", False),
        ("Ann Smith", "Anna Smith", False),
        ("Jose\u0301 Garci\u0301a", "Jos\xe9 Garc\xeda", True),
        ("Jos\xe9 Garc\xeda", "jose\u0301 garci\u0301a", True),
        ("\ufb01nance of\xa0all", "finance of all", True),
        ("\uff21\uff4e\uff4e Smith", "Ann Smith", True),
        ("\u202a+48 22 11\u202c", "+48 22 11", True),
        ("Head of Trave\u0301s", "Head of Trave", True),
        ("Jos\xe9", "Jose", False),
        ("\u0141\xf3d\u017a", "Lodz", False),
    ],
)
def test_what_a_portal_may_make_of_a_value(sent: str, shown: str, expected: bool) -> None:
    """Trimming, folding and cutting; neither another word, nor nothing, nor a shortened name."""
    assert is_spelling(sent=sent, shown=shown) is expected


def test_the_same_characters_composed_or_not_are_the_same_text() -> None:
    """Which nobody types; another letter is another text."""
    assert is_same_text(sent="Jose\u0301", shown="Jos\xe9")
    assert is_same_text(sent="Jos\xe9", shown="Jose\u0301")
    assert not is_same_text(sent="Jos\xe9", shown="Jose")
    assert not is_same_text(sent="\ufb01", shown="fi")
    assert not is_same_text(sent="Jos\xe9", shown="Jos\xe9")


def test_who_somebody_is_is_never_compared_by_form() -> None:
    """Both ids may be there, of two people: one must not be taken for the other."""
    assert fold("jose\u0301@x.com") != fold("jos\xe9@x.com")
    assert fold("JOS\xc9@x.com") == fold("jos\xe9@x.com")
