"""Commands that are suggested: typed as they stand, they mean what was meant."""

from __future__ import annotations

import subprocess

import pytest

from syncd.model.shell import quote_word

WORDS = ["ann@example.com", "X Y", "o'brien@example.com", 'the "best"', "$HOME", "`id`", "a\\b", "a;b", "żółw", "*", ""]


@pytest.mark.parametrize("word", WORDS)
def test_a_shell_takes_a_quoted_word_for_the_word(word: str) -> None:
    """Whatever is in it."""
    done = subprocess.run(["sh", "-c", f"printf %s {quote_word(word)}"], capture_output=True, check=True, timeout=30)
    assert done.stdout.decode() == word


def test_a_word_that_needs_no_quotes_has_none() -> None:
    """So that what people see nearly always is plain."""
    assert [quote_word(word) for word in ("ann@example.com", "12", "a-b_c.d", "żółw@x.pl")] == [
        "ann@example.com",
        "12",
        "a-b_c.d",
        "żółw@x.pl",
    ]
