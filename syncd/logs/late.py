"""Logs of a command that looks into the store and mostly has nothing to log: the pipe is laid for the first line.

structlog and what it draws with take longer to import than such a command needs for its page.
"""

from __future__ import annotations

import logging
from collections.abc import Callable


def configure_late(level: str, lay: Callable[[], None]) -> None:
    """Call ``lay``, which configures the logs, as soon as a library has a line from ``level`` on."""
    root = logging.getLogger()
    root.addHandler(_Late(lay))
    root.setLevel(logging.getLevelNamesMapping()[level.upper()])


def lay_now() -> None:
    """Configure the logs, where `configure_late` put it off."""
    for handler in [handler for handler in logging.getLogger().handlers if isinstance(handler, _Late)]:
        handler.lay()


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
