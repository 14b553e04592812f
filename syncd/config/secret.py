"""A value that never shows itself: typed in, or read from a file and read again when that file changes."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pydantic import GetCoreSchemaHandler
from pydantic_core import CoreSchema, core_schema

from syncd.config.bounded import read_bounded
from syncd.config.problem import MASK, Absent, file_failure

MAX_SECRET_BYTES = 64 * 1024

Stamp = tuple[int, int, int]
Normalise = Callable[[str], str]


def unchanged(text: str) -> str:
    """Return the text as it is."""
    return text


def masked(text: str) -> str:
    """Return the mask, or nothing for nothing."""
    return MASK if text else ""


class Secret:
    """Hold a secret. Only ``reveal`` gives it out; ``str``, ``repr``, ``format``, pickle and JSON mask it.

    ``normalise`` brings the text into its final form and refuses (ValueError) what cannot be used, also when the file
    changes later. ``show`` is what ``syncd check`` may print of it.
    """

    __slots__ = ("_file", "_normalise", "_show", "_stamp", "_text")

    def __init__(
        self, text: str, *, file: Path | None = None, normalise: Normalise = unchanged, show: Normalise = masked
    ) -> None:
        self._file = file
        self._normalise = normalise
        self._show = show
        self._stamp: Stamp | None = None
        self._text = normalise(text) if file is None else ""

    @classmethod
    def from_file(cls, path: Path, *, normalise: Normalise = unchanged, show: Normalise = masked) -> Secret:
        """Return a secret that lives in a file; ``Absent`` when the file cannot be read or is empty now."""
        secret = cls("", file=path, normalise=normalise, show=show)
        secret._stamp = _stamp(path)
        secret._text = normalise(_read(path))
        return secret

    def reveal(self) -> str:
        """Return the secret itself; a changed file is read again (compared by modification time, size and inode).

        While the file is gone, empty or unusable the last good value stays: a rotation may be half done.
        """
        if self._file is not None:
            with contextlib.suppress(ValueError):
                stamp = _stamp(self._file)
                if stamp != self._stamp:
                    self._text = self._normalise(_read(self._file))
                    self._stamp = stamp
        return self._text

    @property
    def file(self) -> Path | None:
        """Return the file that holds the secret, None when it was typed in."""
        return self._file

    def name_key(self, key: str) -> str:
        """Return the key by which the secret was set: ``key``, or ``key_file`` where a file holds it."""
        return key if self._file is None else f"{key}_file"

    def shown(self) -> str:
        """Return what may be printed: the mask, or an address without its password."""
        return self._show(self._text)

    def __repr__(self) -> str:
        return f"Secret('{MASK}')"

    def __str__(self) -> str:
        return MASK

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        return self._file == other._file and self._text == other._text

    def __hash__(self) -> int:
        return hash(self._file)

    def __copy__(self) -> Secret:
        return self

    def __deepcopy__(self, memo: object) -> Secret:
        return self

    def __reduce__(self) -> tuple[type[str], tuple[str]]:
        return (str, (MASK,))

    @classmethod
    def __get_pydantic_core_schema__(cls, source: type[Any], handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.is_instance_schema(
            cls, serialization=core_schema.plain_serializer_function_ser_schema(cls.shown, when_used="json")
        )


def _stamp(path: Path) -> Stamp:
    try:
        status = path.stat()
    except (OSError, ValueError) as error:
        raise Absent(file_failure(error), "point it to a file that this user may read") from None
    return (status.st_mtime_ns, status.st_size, status.st_ino)


def _read(path: Path) -> str:
    try:
        content = read_bounded(path, MAX_SECRET_BYTES)
        text = content.decode("utf-8-sig").rstrip("\r\n")
    except (OSError, ValueError) as error:
        raise Absent(file_failure(error), "point it to a file that this user may read") from None
    if len(content) > MAX_SECRET_BYTES:
        raise Absent(f"holds more than {MAX_SECRET_BYTES} bytes", "point it to a file that holds the secret alone")
    if not text.strip():
        raise Absent("is an empty file", "write the secret into it")
    return text
