"""Logs of a command that looks into the store and mostly has nothing to log: the pipe is laid for the first line.

structlog and what it draws with take longer to import than such a command needs for its page.
"""

from __future__ import annotations

import logging
from collections.abc import Callable


def configure_late(level: str, lay: Callable[[], None]) -> None:
    """Call ``lay``, which configures the logs, when a library has a line from ``level`` on; the last call counts."""
    root = logging.getLogger()
    forget_late()
    root.addHandler(_Late(lay))
    root.setLevel(logging.getLevelNamesMapping()[level.upper()])


def lay_now() -> None:
    """Configure the logs, where `configure_late` put it off."""
    for handler in _list_late():
        handler.lay()


def forget_late() -> None:
    """Lay nothing of what `configure_late` put off: the logs are configured in another way."""
    for handler in _list_late():
        logging.getLogger().removeHandler(handler)


def _list_late() -> list[_Late]:
    return [handler for handler in logging.getLogger().handlers if isinstance(handler, _Late)]


class _Late(logging.Handler):
    """Stands where the pipe will be."""

    def __init__(self, lay: Callable[[], None]) -> None:
        super().__init__()
        self._lay = lay

    def lay(self) -> None:
        """Give way to the pipe."""
        logging.getLogger().removeHandler(self)
        self._lay()

    def emit(self, record: logging.LogRecord) -> None:
        """Lay the pipe and send this line through it, if it still lets such a line pass."""
        self.lay()
        logger = logging.getLogger(record.name)
        if logger.isEnabledFor(record.levelno):
            logger.handle(record)
