"""Something that fails again and again: logged when it begins and when it is over, waited for ever longer between."""

from __future__ import annotations

import structlog

_FIRST_SECONDS = 2.0
_LONGEST_SECONDS = 60.0


class Trouble:
    """One thing that may fail; ``name`` says in the log what it is."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._times = 0
        self._said = ""
        self._log = structlog.get_logger("syncd.daemon")

    @property
    def present(self) -> bool:
        """Return whether it fails at present."""
        return self._times > 0

    def note(self, error: Exception, *, traceback: bool = False) -> float:
        """Note a failure and return how many seconds to wait before trying again; the same one is logged once."""
        said = f"{type(error).__name__}: {error}"
        if said != self._said:
            self._log.error("trouble.began", about=self._name, error=str(error), exc_info=error if traceback else None)
        self._said = said
        self._times += 1
        return min(_LONGEST_SECONDS, _FIRST_SECONDS * 2.0 ** min(self._times - 1, 10))

    def clear(self) -> None:
        """Note that it works."""
        if self._times:
            self._log.info("trouble.over", about=self._name, failures=self._times)
        self._times, self._said = 0, ""
