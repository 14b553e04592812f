"""Logs that are configured when a library has something to say."""

from __future__ import annotations

import io
import logging
from collections.abc import Iterator

import pytest

from syncd.logs.late import configure_late
from syncd.logs.pipe import configure_logs, get_logger


@pytest.fixture(autouse=True)
def root() -> Iterator[logging.Logger]:
    """Leave Python's logging as it was found."""
    logger, silenced = logging.getLogger(), logging.getLogger("cel")
    handlers, level, before = list(logger.handlers), logger.level, silenced.level
    silenced.setLevel(logging.NOTSET)
    yield logger
    silenced.setLevel(before)
    logger.handlers[:] = handlers
    logger.setLevel(level)


def put_off(level: str) -> tuple[io.StringIO, list[int]]:
    """Put logs off; return where they go, and what gets an element when they are configured."""
    stream, laid = io.StringIO(), list[int]()

    def lay() -> None:
        laid.append(1)
        configure_logs("json", level, stream)

    configure_late(level, lay)
    return stream, laid


def test_the_first_line_of_a_library_lays_the_pipe() -> None:
    """It is not lost, and later ones go the same way, each once."""
    stream, laid = put_off("info")
    assert not laid
    logging.getLogger("asyncio").warning("slow")
    logging.getLogger("asyncio").warning("again")
    assert laid == [1]
    assert [("slow" in line, "again" in line) for line in stream.getvalue().splitlines()] == [
        (True, False),
        (False, True),
    ]


def test_what_is_never_logged_stays_out() -> None:
    """A library that warns with values of people is as silent as if the pipe had been there."""
    stream, laid = put_off("info")
    logging.getLogger("cel").warning("ann@x.com does not fit")
    assert laid == [1]
    assert stream.getvalue() == ""


def test_below_the_level_nothing_is_configured() -> None:
    """Debug lines of a library are none of ours."""
    _, laid = put_off("info")
    logging.getLogger("asyncio").debug("detail")
    assert not laid


def test_a_line_of_ours_lays_the_pipe() -> None:
    """Whoever asks for a logger gets one that is configured."""
    stream, laid = put_off("info")
    get_logger("syncd.test").info("a.happening")
    assert laid == [1]
    assert "a.happening" in stream.getvalue()


def test_what_was_put_off_earlier_is_not_laid_any_more() -> None:
    """Neither over logs that are configured since, nor over what was put off since."""
    _, first = put_off("info")
    _, second = put_off("info")
    get_logger("x").info("run.finished")
    assert (first, second) == ([], [1])
    _, third = put_off("info")
    stream = io.StringIO()
    configure_logs("json", "info", stream)
    get_logger("x").info("run.started")
    assert not third
    assert "run.started" in stream.getvalue()
