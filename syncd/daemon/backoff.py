"""Backoff for work that keeps failing: the first failure and the recovery are logged, the waits in between grow."""

from __future__ import annotations

import structlog

_FIRST_SECONDS = 2.0
_LONGEST_SECONDS = 60.0


class Backoff:
    """The failures of one thing; ``failed`` and ``recovered`` are the log events of its first failure and its end."""

    def __init__(self, *, failed: str, recovered: str) -> None:
        self._failed = failed
        self._recovered = recovered
        self._times = 0
        self._said = ""
        self._log = structlog.get_logger("syncd.daemon")

    @property
    def present(self) -> bool:
        """Return whether it fails at present."""
        return self._times > 0

    def note(self, error: Exception, *, traceback: bool = False) -> float:
        """Note a failure and return how many seconds to wait before the next attempt; the same error is logged once."""
        said = f"{type(error).__name__}: {error}"
        if said != self._said:
            self._log.error(self._failed, error=str(error), exc_info=error if traceback else None)
        self._said = said
        self._times += 1
        return min(_LONGEST_SECONDS, _FIRST_SECONDS * 2.0 ** min(self._times - 1, 10))

    def clear(self) -> None:
        """Note that it works."""
        if self._times:
            self._log.info(self._recovered, failures=self._times)
        self._times, self._said = 0, ""
