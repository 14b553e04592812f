"""The one pipe through which every log line goes: ours by structlog, and those of libraries by the logging module."""

from __future__ import annotations

import json
import logging
import re
import threading
from collections.abc import Collection, Sequence
from typing import Literal, TextIO, cast

import structlog
from structlog.typing import EventDict, FilteringBoundLogger, Processor, WrappedLogger

from syncd.clock import Clock
from syncd.logs.late import forget_late, lay_now
from syncd.logs.redaction import redact_event
from syncd.logs.repeats import LimitRepeats

Format = Literal["auto", "json", "console"]

# Libraries that tell each of their steps at info level; theirs is our debug level.
TALKATIVE = ("aiohttp", "alembic", "apscheduler", "msal", "urllib3", "sqlalchemy")

# Libraries that warn with values: the expressions of the rules, for each person whom one does not fit; and cookies.
INDISCREET = ("cel", "aiohttp.client")

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")


def configure_logs(
    format: Format,  # noqa: A002 - named as in the settings
    level: str,
    stream: TextIO,
    *,
    clock: Clock | None = None,
    left_out: Collection[str] = (),
) -> None:
    """Send every log line from ``level`` on to ``stream``; may be called again at any time, the last call counts.

    ``auto`` is the console form on a terminal and JSON otherwise; colours appear on a terminal only. ``left_out`` names
    the events that the reader of the stream is told of in another way.
    """
    terminal = _is_terminal(stream)
    readable = format == "console" or (format == "auto" and terminal)
    number = logging.getLevelNamesMapping()[level.upper()]
    processors: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        _LeaveOut(left_out),
        LimitRepeats(),
        structlog.processors.format_exc_info,
        _Stamp(clock or Clock()),
        redact_event,
        *(_console(colors=terminal) if readable else [_render_json]),
    ]
    sink = _Sink(stream)
    structlog.configure(
        processors=processors,
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=lambda name="": _Named(sink, name),
        cache_logger_on_first_use=False,
    )
    root = logging.getLogger()
    forget_late()
    for handler in [handler for handler in root.handlers if isinstance(handler, _Bridge)]:
        root.removeHandler(handler)
    root.addHandler(_Bridge(processors, sink))
    root.setLevel(number)
    for name in TALKATIVE:
        logging.getLogger(name).setLevel(logging.NOTSET if number <= logging.DEBUG else max(number, logging.WARNING))
    for name in INDISCREET:
        logging.getLogger(name).setLevel(logging.NOTSET if number <= logging.DEBUG else logging.CRITICAL)


def get_logger(name: str) -> FilteringBoundLogger:
    """Return a logger whose lines carry ``logger=name``; it follows every later ``configure_logs``."""
    lay_now()
    return cast(FilteringBoundLogger, structlog.get_logger(name))  # structlog promises Any


class _Sink:
    """Write whole lines, one at a time. A stream that is gone or cannot spell a character never stops the program."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._lock = threading.RLock()

    def write(self, line: str) -> None:
        with self._lock:
            try:
                self._stream.write(_spell(line, getattr(self._stream, "encoding", None) or "utf-8") + "\n")
                self._stream.flush()
            except (OSError, ValueError):
                return  # the reader went away; there is nowhere left to say so


def _spell(line: str, encoding: str) -> str:
    """Return the line with escapes for what the stream cannot spell; by itself it may put question marks there."""
    return line.encode(encoding, "backslashreplace").decode(encoding)


class _Named:
    """What structlog calls at the end of the pipe for the logger of that name."""

    def __init__(self, sink: _Sink, name: str) -> None:
        self.name = name
        self.msg = sink.write
        self.debug = self.info = self.warning = self.error = self.critical = self.msg


class _LeaveOut:
    """Drop the lines of some events."""

    def __init__(self, events: Collection[str]) -> None:
        self._events = frozenset(events)

    def __call__(self, logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
        del logger, method
        if event.get("event") in self._events:
            raise structlog.DropEvent
        return event


class _Stamp:
    """Put time (ISO 8601, UTC), level, event and the logger's name in front."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    def __call__(self, logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
        time = self._clock.now().isoformat(timespec="milliseconds").replace("+00:00", "Z")
        front = {"time": time, "level": event.pop("level", method), "event": event.pop("event", "")}
        if isinstance(logger, _Named) and logger.name:
            front["logger"] = logger.name
        event.pop("time", None)
        return {**front, **event}


class _Bridge(logging.Handler):
    """Take the records of the standard library into the same pipe."""

    def __init__(self, processors: Sequence[Processor], sink: _Sink) -> None:
        super().__init__()
        self._processors = processors
        self._sink = sink

    def emit(self, record: logging.LogRecord) -> None:
        try:
            text = record.getMessage()
        except Exception:  # noqa: BLE001 - a library's message may not fit its arguments; the line must come all the same
            text = record.msg if isinstance(record.msg, str) else type(record.msg).__name__
        event: EventDict = {"event": text, "logger": record.name}
        if isinstance(record.exc_info, tuple) and record.exc_info[0] is not None:
            event["exc_info"] = record.exc_info
        method = _level_name(record.levelno)
        passed: object = event
        try:
            for processor in self._processors:
                passed = processor(None, method, cast(EventDict, passed))  # only the last one returns text
        except structlog.DropEvent:
            return
        self._sink.write(str(passed))


def _level_name(number: int) -> str:
    for name in ("critical", "error", "warning", "info"):
        if number >= logging.getLevelNamesMapping()[name.upper()]:
            return name
    return "debug"


def _render_json(logger: WrappedLogger, method: str, event: EventDict) -> str:
    del logger, method
    return json.dumps(event, ensure_ascii=False, separators=(",", ":"))


def _console(*, colors: bool) -> list[Processor]:
    renderer = structlog.dev.ConsoleRenderer(
        colors=colors,
        sort_keys=False,
        timestamp_key="time",
        # The pretty one shows local variables, and with them secrets.
        exception_formatter=structlog.dev.plain_traceback,
    )
    return [_escape_controls, renderer]


def _escape_controls(logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
    """Keep a value from forging lines or steering the terminal; a traceback keeps its line ends."""
    del logger, method
    for key, value in event.items():
        if isinstance(value, str) and _CONTROL.search(value):
            lines = value.split("\n") if key == "exception" else [value]
            event[key] = "\n".join(_CONTROL.sub(lambda found: repr(found[0])[1:-1], line) for line in lines)
    return event


def _is_terminal(stream: TextIO) -> bool:
    try:
        return stream.isatty()
    except ValueError:  # closed
        return False
