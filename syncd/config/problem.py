"""What is wrong with one setting, in words. Nothing here may show the value of a secret or of an unknown key."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from dataclasses import KW_ONLY, dataclass

MASK = "********"

_SHOWN_CHARACTERS = 80
_USERINFO = re.compile(r"://[^\s]*@")
_PRIVATE_SHAPE = re.compile(r"-----BEGIN|[\r\n]")
_RULE_SHAPE = re.compile(r"\b(?:user|group)\s*[.\[]")


class Refused(ValueError):
    """A value that cannot be used: ``what`` is wrong with it, and the ``remedy``. Neither repeats the value."""

    def __init__(self, what: str, remedy: str) -> None:
        super().__init__(f"{what}; {remedy}")
        self.what = what
        self.remedy = remedy


class Absent(Refused):
    """A value that is not there (yet): not set, or a file that cannot be read by this process."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One sentence for the operator.

    ``absent`` says that the value is missing rather than wrong, ``origin`` names the environment variable it came from.
    ``unknown`` says that no key has this name: a misspelt one is the reason why another one is missing.
    """

    key: str
    what: str
    _: KW_ONLY
    remedy: str
    value: str = ""
    origin: str = ""
    absent: bool = False
    unknown: bool = False

    @property
    def section(self) -> str:
        """Return the first part of the key."""
        return re.split(r"[.\[]", self.key, maxsplit=1)[0]

    def __str__(self) -> str:
        parts = [f"value {self.value}"] if self.value else []
        if self.origin:
            parts.append(f"from {self.origin}")
        shown = f" ({', '.join(parts)})" if parts else ""
        return f"{self.key}: {self.what}{shown}; {self.remedy}"


def list_problems(problems: Iterable[Problem]) -> tuple[str, ...]:
    """Return the sentences, each once: unknown keys first, since what is missing may be their doing, then by key."""
    told = {(not problem.unknown, str(problem)) for problem in problems}
    return tuple(sentence for _, sentence in sorted(told))


def show_value(value: object) -> str:
    """Return a bounded, quoted form of a value that is no secret; passwords in addresses and keys are masked.

    A text of several lines is masked like a key, unless it is a rule over people or groups.
    """
    if isinstance(value, str):
        line = " ".join(value.split()) if _RULE_SHAPE.search(value) else value
        text = MASK if _PRIVATE_SHAPE.search(line) else _USERINFO.sub(f"://{MASK}@", line)
    else:
        text = repr(value)
        if _PRIVATE_SHAPE.search(text):
            text = MASK
        text = _USERINFO.sub(f"://{MASK}@", text)
    if len(text) > _SHOWN_CHARACTERS:
        text = text[:_SHOWN_CHARACTERS] + "…"
    return f"'{text}'"


def show_path(path: str) -> str:
    """Return the path as typed, or the mask where it looks like a secret that was put in place of a path."""
    looks_like_secret = "/" not in path and "\\" not in path and len(path) > 24
    return f"'{MASK}'" if looks_like_secret else show_value(path)


def suggest(word: str, known: Iterable[str]) -> str:
    """Return the known word that was probably meant, or an empty string."""
    close = difflib.get_close_matches(word.casefold(), sorted(known), n=1, cutoff=0.6)
    return close[0] if close else ""


def file_failure(error: OSError | ValueError) -> str:
    """Return why a file could not be read, without its path or content."""
    if isinstance(error, UnicodeDecodeError):
        return "is not UTF-8 text"
    if isinstance(error, OSError) and error.strerror:
        return f"cannot be read: {error.strerror.lower()}"
    return "cannot be read: this is no path"
