"""The languages of the console, and which one a reader gets.

A new language is a module beside `en` with the same keys, and a line in ``LANGUAGES``. Reasons lie in the store as
syncd wrote them, in English, each beside its cause: where the sentence of a cause has no values, a language may have
its own (``CAUSES``). All others are shown as they are, and marked as English.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from syncd.web.console.texts import en, pl, pl_causes

LANGUAGES: Final[Mapping[str, Mapping[str, str]]] = {"en": en.TEXTS, "pl": pl.TEXTS}
CAUSES: Final[Mapping[str, Mapping[str, str]]] = {"pl": pl_causes.CAUSES}
_DEFAULT = "en"
_ACCEPTED = 20
_SEPARATORS = {"en": ",", "pl": "\u00a0"}


class Texts:
    """The texts of one language: called with a key and the values that belong into the text."""

    def __init__(self, language: str) -> None:
        self.language = language if language in LANGUAGES else _DEFAULT
        self._texts = LANGUAGES[self.language]

    def __call__(self, key: str, /, **values: object) -> str:
        """Return a text; raises KeyError for a key that is unknown."""
        shown = {name: _Number(value, self) if type(value) is int else value for name, value in values.items()}
        return self._texts[key].format(**shown)

    def known(self, key: str) -> str:
        """Return a text, or, for a word of the program that has none, the end of its key."""
        return self._texts.get(key) or key.partition(".")[2].replace("_", " ")

    def count_word(self, name: str) -> str:
        """Return the text for an action or an outcome that is counted."""
        return self._texts.get(f"action.{name}") or self.known(f"outcome.{name}")

    def reason(self, cause: str, said: str) -> str:
        """Return the text for a cause whose sentence has no values, or for the state of a leaver; "" for others."""
        return CAUSES.get(self.language, {}).get(cause, "") or self._texts.get(f"leaver.{said}", "")

    def number(self, value: int) -> str:
        """Return a number as people of that language write it."""
        return f"{value:,}".replace(",", _SEPARATORS[self.language])


class _Number:
    """A number in a text: ``{n}``, or ``{n:change|changes}`` with the word that goes with so many."""

    def __init__(self, value: int, texts: Texts) -> None:
        self._value = value
        self._texts = texts

    def __format__(self, forms: str) -> str:
        shown = self._texts.number(self._value)
        return f"{shown} {_choose_form(self._value, forms.split('|'))}" if forms else shown


def _choose_form(value: int, forms: Sequence[str]) -> str:
    """Return the form for so many: one and many, or, as in Polish, one, few (2 to 4, 22 to 24, …) and many."""
    if value == 1 or len(forms) == 1:
        return forms[0]
    few = 2 <= value % 10 <= 4 and not 12 <= value % 100 <= 14
    return forms[1] if few else forms[-1]


def choose_language(chosen: str | None, accepted: str) -> str:
    """Return the language that was chosen, else the first one of ``Accept-Language`` that there is."""
    if chosen is not None and chosen in LANGUAGES:
        return chosen
    wanted: list[tuple[float, int, str]] = []
    for place, part in enumerate(accepted.split(",")[:_ACCEPTED]):
        name, _, quality = part.partition(";")
        try:
            weight = float(quality.strip().removeprefix("q=")) if quality else 1.0
        except ValueError:
            continue
        wanted.append((-weight, place, name.strip().lower().partition("-")[0]))
    return next((name for weight, _, name in sorted(wanted) if name in LANGUAGES and weight < 0), _DEFAULT)
