"""What an installation may leave out, and the sentence for whoever asks for it all the same."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from syncd.errors import NotInstalled


@contextmanager
def needing_sandbox(what: str) -> Iterator[None]:
    """Import parts of the sandbox in the block; NotInstalled, with the way to get it, where it was left out.

    ``what`` begins the sentence: "the sandbox is".
    """
    try:
        yield
    except ModuleNotFoundError as missing:
        # Only the two that an installation may leave out; anything else that is missing is a defect.
        if (missing.name or "").partition(".sandbox")[0] not in ("trustme", "syncd"):
            raise
        raise NotInstalled(
            f"{what} not part of this installation; install 'syncd[sandbox]', "
            "or use the image whose tag ends with -sandbox"
        ) from missing
