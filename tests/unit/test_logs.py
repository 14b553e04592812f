"""Log lines: one pipe, two forms, nothing secret, nobody named, and never an exception."""

from __future__ import annotations

import contextvars
import io
import json
import logging
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from syncd.clock import Clock
from syncd.logs.pipe import INDISCREET, TALKATIVE, Format, _Bridge, configure_logs, get_logger
from syncd.logs.redaction import redact_text
from syncd.logs.repeats import MOST_LINES


class StoppedClock(Clock):
    """Always the same instant."""

    def now(self) -> datetime:
        return datetime(2026, 3, 1, 12, 30, 5, 250_000, tzinfo=UTC)


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


class Unprintable:
    """A value that cannot be shown."""

    def __repr__(self) -> str:
        raise RuntimeError("no")


class Unreadable(dict[str, object]):
    """A container that cannot be read."""

    def items(self) -> Any:
        raise RuntimeError("no")


@pytest.fixture(autouse=True)
def restored_logging() -> Iterator[None]:
    """Leave structlog and the logging module as they were."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    levels = {name: logging.getLogger(name).level for name in (*TALKATIVE, *INDISCREET)}
    yield
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()
    root.handlers[:] = handlers
    root.setLevel(level)
    for name, before in levels.items():
        logging.getLogger(name).setLevel(before)


def start(level: str = "info", form: Format = "json", stream: io.StringIO | None = None) -> io.StringIO:
    """Configure logs and return what they are written to."""
    stream = io.StringIO() if stream is None else stream
    configure_logs(form, level, stream, clock=StoppedClock())
    return stream


def lines_of(stream: io.StringIO) -> list[dict[str, Any]]:
    """Return the JSON lines."""
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_a_json_line_has_time_level_event_and_fields() -> None:
    """The promised keys, in a stable order, on one line."""
    stream = start()

    get_logger("sync.runs").info("run.finished", users=3, phases={"pull": 1.5}, ok=True, error=None)

    assert stream.getvalue() == (
        '{"time":"2026-03-01T12:30:05.250Z","level":"info","event":"run.finished","logger":"sync.runs",'
        '"users":3,"phases":{"pull":1.5},"ok":true,"error":null}\n'
    )


def test_auto_is_readable_on_a_terminal_and_json_on_a_pipe() -> None:
    """Colours appear on a terminal only, also when the console form is asked for."""
    pipe, terminal, forced = io.StringIO(), Terminal(), io.StringIO()
    cases: tuple[tuple[io.StringIO, Format], ...] = ((pipe, "auto"), (terminal, "auto"), (forced, "console"))
    for stream, form in cases:
        start(form=form, stream=stream)
        get_logger("x").info("run.started", kind="full")

    assert json.loads(pipe.getvalue())["kind"] == "full"
    assert "\x1b[" in terminal.getvalue()
    assert "run.started" in terminal.getvalue()
    assert "\x1b[" not in forced.getvalue()
    assert "kind=full" in forced.getvalue()


def test_an_event_that_is_told_in_another_way_is_left_out_and_no_other() -> None:
    """The command says on a terminal how a run ended; what happened on the way is logged all the same."""
    stream = io.StringIO()
    configure_logs("json", "info", stream, clock=StoppedClock(), left_out=("run.finished",))
    get_logger("x").info("run.finished", error="no portal", kind="full")
    get_logger("x").info("change.failed", error="no account")
    (failed,) = lines_of(stream)
    assert failed["error"] == "no account"


def test_lines_below_the_level_are_not_written() -> None:
    """The level holds for ours and for the standard library's; a later call changes both."""
    stream = start("warning")
    log, library = get_logger("x"), logging.getLogger("some.library")
    log.info("a")
    library.info("b")
    log.warning("c")
    library.warning("d")
    start("debug", stream=stream)
    log.debug("e")
    library.debug("f")
    start("error", stream=stream)
    logging.getLogger("aiohttp").warning("g")

    assert [line["event"] for line in lines_of(stream)] == ["c", "d", "e", "f"]


def test_standard_library_records_take_the_same_pipe() -> None:
    """Same form, same redaction, once each; what talkative libraries say at info level is our debug level."""
    stream = start()
    start(stream=stream)
    logging.getLogger("msal.token").warning("got %s for %s", "Bearer abcdefgh12345", "anna@example.com")
    logging.getLogger("aiohttp.access").info("GET /")

    (first,) = lines_of(stream)
    assert (first["level"], first["logger"], first["event"]) == (
        "warning",
        "msal.token",
        "got Bearer ******** for <hidden>",
    )


def test_a_library_that_warns_with_values_is_heard_when_debugging_only() -> None:
    """An expression that does not fit a person is told by 'explain', not by a line per person that may quote it."""
    stream = start()
    logging.getLogger("cel").warning("Python function failed: invalid literal 'Anna'")
    assert lines_of(stream) == []
    start("debug", stream=stream)
    logging.getLogger("cel").warning("once")
    assert [line["event"] for line in lines_of(stream)] == ["once"]


def test_a_library_whose_message_does_not_fit_is_logged_all_the_same() -> None:
    """The line comes with the message as it was written."""
    stream = start()
    record = logging.LogRecord("library", logging.ERROR, __file__, 1, "broken %d", ("text",), None)

    (bridge,) = (handler for handler in logging.getLogger().handlers if isinstance(handler, _Bridge))
    bridge.handle(record)

    assert lines_of(stream)[0]["event"] == "broken %d"


def test_tracebacks_are_written_without_secrets() -> None:
    """The message of an exception may hold what a server repeated to us."""
    stream = start()
    answer = "client_secret='hunter 2' refused for anna@example.com"
    try:
        int(answer)
    except ValueError:
        get_logger("x").exception("token.refused")
        logging.getLogger("y").exception("again")

    assert len(lines_of(stream)) == 2
    for line in lines_of(stream):
        assert line["exception"].startswith("Traceback")
        assert "client_secret=********" in line["exception"]
        assert "hunter" not in line["exception"]
        assert "anna" not in line["exception"]


def test_the_run_id_is_on_every_line_of_the_run() -> None:
    """Bound once, also for libraries and for what the run starts (a task copies its context), and gone afterwards."""
    stream = start()
    log = get_logger("x")

    with structlog.contextvars.bound_contextvars(run=7):
        contextvars.copy_context().run(log.info, "page")
        logging.getLogger("library").warning("w")
    log.info("after")

    assert [line.get("run") for line in lines_of(stream)] == [7, 7, None]


@pytest.mark.parametrize(
    "key",
    [
        "client_secret",
        "secret",
        "access_token",
        "deltaToken",
        "password",
        "Authorization",
        "client_assertion",
        "api_key",
    ],
)
def test_values_of_secret_keys_are_masked(key: str) -> None:
    """At any depth, at any level, whatever the value is; counts stay."""
    stream = start("debug")

    get_logger("x").debug("e", **{key: "hunter2", "nested": [{key: ["hunter2"]}], f"{key}_count": 3})

    (line,) = lines_of(stream)
    assert line[key] == "********"
    assert line["nested"] == [{key: "********"}]
    assert line[f"{key}_count"] == 3


def test_one_event_fills_no_log_of_a_run() -> None:
    """Fifty lines of it, and a number at the end of the run; the next run begins anew, and so do other events."""
    stream = io.StringIO()
    configure_logs("json", "info", stream)
    log = get_logger("syncd.test")
    for run in (1, 2):
        with structlog.contextvars.bound_contextvars(run=run):
            for number in range(120):
                log.warning("place.odd", number=number)
                logging.getLogger("some.library").warning("it is odd %d", number)
            log.info("place.other")
            log.info("run.finished")
    for _ in range(60):
        log.warning("place.odd")
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    told = Counter((line.get("run"), line["event"].partition(" ")[0]) for line in lines)
    assert told.pop((None, "place.odd")) == 60
    for run in (1, 2):
        assert told.pop((run, "place.odd")) == told.pop((run, "it")) == MOST_LINES
        assert told.pop((run, "place.other")) == told.pop((run, "run.finished")) == 1
    assert not told
    ends = [line["not_logged"] for line in lines if line["event"] == "run.finished"]
    assert ends == [{"place.odd": 70, "some.library": 70}] * 2


def test_all_lines_come_when_debugging() -> None:
    """Whoever asks for everything gets everything that is told at that level."""
    stream = io.StringIO()
    configure_logs("json", "debug", stream)
    with structlog.contextvars.bound_contextvars(run=1):
        for _ in range(60):
            get_logger("syncd.test").debug("place.odd")
    assert len(stream.getvalue().splitlines()) == 60


@pytest.mark.parametrize(
    "text",
    [
        "Authorization: Bearer hunter2hunter2",
        "authorization='Basic hunter2'",
        "bearer hunter2hunter2",
        "client_secret=hunter2&scope=x",
        "my_client_secret = hunter2",
        '{"client_secret": "hun ter\\"hunter2", "x": 1}',
        "{'password': 'hunter2'}",
        'b"{\\"access_token\\":\\"hunter2\\"}"',
        "https://graph.microsoft.com/v1.0/users/delta?$deltatoken=hunter2",
        "https://graph.microsoft.com/v1.0/users/delta?$skiptoken=hunter2&x=1",
        "postgresql+psycopg://syncd:hunter2@db/syncd",
        "postgresql+psycopg://syncd:p/hunter2@db/syncd",
        "eyJhunter2.eyJhunter2.hunter2",
        "https://hooks.example.com/a?sp=1&sig=hunter2",
        "-----BEGIN PRIVATE KEY-----\nhunter2\n-----END PRIVATE KEY-----",
        'token="hunter2\\',
    ],
)
def test_secrets_within_a_text_are_masked(text: str) -> None:
    """By their shape, wherever they stand."""
    assert "hunter2" not in redact_text(text)
    assert "hunter2" not in redact_text(text, personal=True)


@pytest.mark.parametrize(
    "text",
    [
        "graph.client_secret: is missing; set it in [graph]",
        "the token was refused (AADSTS7000215)",
        "run.finished in 3s, 2 requests",
        "https://bps.example.com:444/WEBCONBPS/api/data/v6.0/db/1/users?size=1000",
        "sqlite:///syncd.db",
    ],
)
def test_harmless_text_stays_readable(text: str) -> None:
    """A log that masks everything helps nobody."""
    assert redact_text(text) == text


@pytest.mark.parametrize("level", ["info", "warning", "error"])
def test_nobody_is_named_above_debug_level(level: str) -> None:
    """Personal fields are hidden, and so are addresses in any text, plain or percent-encoded; ids stay."""
    stream = start("debug")
    fields = dict.fromkeys(("upn", "name", "mail", "email", "phone", "bps_id", "display_name"), "Anna")

    getattr(get_logger("x"), level)(
        "e",
        **fields,
        id="42",
        users=[{"upn": "Anna"}],
        error="no anna.o'neil@ex.com",
        url="/user?bpsId=anna%40ex.com&x=1",
    )

    (line,) = lines_of(stream)
    assert {line[key] for key in fields} == {"<hidden>"}
    assert (line["id"], line["users"]) == ("42", [{"upn": "<hidden>"}])
    assert "anna" not in json.dumps(line)
    assert line["url"] == "/user?bpsId=<hidden>&x=1"


def test_people_are_named_at_debug_level() -> None:
    """Whoever switches debugging on wants to see whom it is about."""
    stream = start("debug")

    get_logger("x").debug("e", upn="anna@ex.com", error="no anna@ex.com")

    (line,) = lines_of(stream)
    assert (line["upn"], line["error"]) == ("anna@ex.com", "no anna@ex.com")


def test_fields_are_bounded() -> None:
    """A field says that it was cut; of a traceback the end is kept; long lists are counted."""
    stream = start()

    get_logger("x").info("e", body="x" * 5_000, rows=list(range(80)), exception="head\n" + "y" * 3_000 + "\nValueError")

    (line,) = lines_of(stream)
    assert line["body"] == "x" * 2_000 + "… [cut, 5000 characters]"
    assert line["rows"][-1] == "… 30 more"
    assert line["exception"].startswith("… [cut, 3016 characters]")
    assert line["exception"].endswith("ValueError")


@pytest.mark.parametrize("form", ["json", "console"])
def test_odd_values_are_logged_all_the_same(form: Format) -> None:
    """No value stops the program from going on."""
    stream = start(form=form)
    endless: list[object] = []
    endless.append(endless)

    get_logger("x").info(
        "e",
        a=Unprintable(),
        b=Unreadable(x=1),
        c=float("nan"),
        d=10**5_000,
        e="\ud800",
        f=endless,
        g={1: {2, 3}, None: b"\xff"},
        h=object,
        i=datetime.now(UTC),
        exc_info=True,
    )

    assert "<unprintable Unprintable: RuntimeError>" in stream.getvalue()
    assert "<unreadable Unreadable: RuntimeError>" in stream.getvalue()
    assert len(stream.getvalue().splitlines()) == 1


@given(
    st.dictionaries(
        st.text(min_size=1, max_size=8).filter(lambda key: key not in {"event", "self", "exc_info", "stack_info"}),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
            lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
            max_leaves=8,
        ),
        max_size=4,
    )
)
def test_any_field_gives_one_valid_line(fields: dict[str, Any]) -> None:
    """Whatever is logged, a reader of JSON lines can read it."""
    stream = start()

    get_logger("x").info("e", **fields)

    (text, rest) = stream.getvalue().split("\n")
    assert rest == ""
    assert json.loads(text, parse_constant=lambda name: pytest.fail(name))["event"] == "e"


def test_a_value_cannot_forge_a_line_on_the_console() -> None:
    """Line ends and terminal codes in a value are written as escapes."""
    stream = start(form="console")

    get_logger("x").info("e", title="a\n2026 [info] forged \x1b[2J")

    assert stream.getvalue().count("\n") == 1
    assert "\x1b" not in stream.getvalue()


def test_a_stream_that_is_gone_does_not_stop_the_program() -> None:
    """The daemon outlives the reader of its pipe."""
    stream = start()
    stream.close()

    get_logger("x").info("e")
    logging.getLogger("y").warning("e")


def test_a_stream_that_cannot_spell_gets_escapes() -> None:
    """An ASCII terminal sees the line, escaped."""
    buffer = io.BytesIO()
    configure_logs("json", "info", io.TextIOWrapper(buffer, encoding="ascii"))

    get_logger("x").info("e", title="Łódź")

    assert b"\\u0141\\xf3d\\u017a" in buffer.getvalue()


@pytest.mark.parametrize(
    "piece", ["secret", "token ", "a.b@", "x%40", "://a:", '"', "eyJ", 'token="\\', "authorization "]
)
def test_redaction_takes_linear_time(piece: str) -> None:
    """No text, however made, keeps the program busy: twice as long takes no more than about twice the time."""
    text = piece * (16_000 // len(piece))
    seconds = min(_seconds(text) for _ in range(3))

    assert seconds < 0.25


def _seconds(text: str) -> float:
    clock = Clock()
    started = clock.monotonic()
    redact_text(text)
    return clock.monotonic() - started
