"""What a portal may have made of a value by itself, and what it cannot have."""

from __future__ import annotations

import pytest

from syncd.plan.spelling import is_spelling


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
    ],
)
def test_what_a_portal_may_make_of_a_value(sent: str, shown: str, expected: bool) -> None:
    """Trimming, folding and cutting; neither another word, nor nothing, nor a shortened name."""
    assert is_spelling(sent=sent, shown=shown) is expected
