"""When failures are those of one record, and when the portal is down."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from syncd.errors import (
    AuthFailed,
    Conflict,
    Forbidden,
    Intercepted,
    ProtocolError,
    ProxyRefused,
    RemoteError,
    Timeout,
    Unavailable,
)
from syncd.sync.apply.circuit import Circuit, Kind

DOWN = Unavailable("423 locked", status=423)
PAGE = ProtocolError("a maintenance page", status=200)
WALL = Intercepted("a web page of a gateway refused this request", status=403)
NO_METHOD = Intercepted("does not let PATCH through", status=405)
CHANGE: Kind = ("update", "user")
OTHER: Kind = ("link", "membership")
RIGHTS = Forbidden("no rights", status=403, code="InsufficientAccountPermissions")


@dataclass
class Portal:
    """Answers a small question, or does not."""

    silence: RemoteError | None = None
    asked: int = 0

    async def check(self) -> None:
        """Answer, or raise."""
        self.asked += 1
        if self.silence is not None:
            raise self.silence


@pytest.mark.parametrize("error", [DOWN, PAGE, RIGHTS, Timeout("none in time")])
async def test_one_record_that_keeps_failing_is_left_and_the_rest_goes_on(error: RemoteError) -> None:
    """Eight times in a row, while the portal answers: nothing more is sent about it in this run."""
    portal = Portal()
    circuit = Circuit(portal)  # type: ignore[arg-type]
    for _ in range(8):
        assert not circuit.find_broken("A@grp", CHANGE)
        assert await circuit.weigh("a@grp", CHANGE, error) is None
    assert circuit.find_broken("A@grp", CHANGE).startswith(str(error))
    assert not circuit.find_broken("b@grp", CHANGE)
    assert portal.asked == 1


@pytest.mark.parametrize("error", [DOWN, PAGE, RIGHTS])
async def test_many_records_in_a_row_end_the_run(error: RemoteError) -> None:
    """Whatever the portal says to a small question: it can do nothing for anybody."""
    circuit = Circuit(Portal())  # type: ignore[arg-type]
    ends = [await circuit.weigh(f"p{number}@x.com", CHANGE, error) for number in range(8)]
    assert ends == [None] * 7 + [error]


async def test_a_portal_that_is_silent_altogether_ends_the_run() -> None:
    """Though all requests were about one group; the error is that of the question."""
    silence = Unavailable("nobody there")
    circuit = Circuit(Portal(silence))  # type: ignore[arg-type]
    ends = [await circuit.weigh("a@grp", CHANGE, DOWN) for _ in range(8)]
    assert ends == [None] * 7 + [silence]
    assert not circuit.find_broken("a@grp", CHANGE)


async def test_what_is_answered_in_between_begins_the_row_anew() -> None:
    """A good answer, or one that refuses a single object."""
    portal = Portal()
    circuit = Circuit(portal)  # type: ignore[arg-type]
    for _ in range(5):
        for number in range(7):
            assert await circuit.weigh(f"p{number}@x.com", CHANGE, DOWN) is None
        circuit.close(CHANGE)
        for number in range(7):
            assert await circuit.weigh(f"p{number}@x.com", CHANGE, DOWN) is None
        assert await circuit.weigh("p@x.com", CHANGE, Conflict("refused", status=409)) is None
    assert portal.asked == 0


@pytest.mark.parametrize(
    "error",
    [
        AuthFailed("bad secret"),
        Forbidden("lacks the scope", status=403, code="InvalidScope"),
        ProxyRefused("the proxy answered 407"),
    ],
)
async def test_a_refused_sign_in_or_a_missing_scope_ends_the_run_at_once(error: RemoteError) -> None:
    """They would be refused for everybody."""
    assert await Circuit(Portal()).weigh("a@grp", CHANGE, error) is error  # type: ignore[arg-type]


async def test_of_several_records_those_that_failed_once_are_tried_again() -> None:
    """Only who failed twice is left."""
    circuit = Circuit(Portal())  # type: ignore[arg-type]
    for name in ("b@grp", *["a@grp"] * 7):
        assert await circuit.weigh(name, CHANGE, DOWN) is None
    assert circuit.find_broken("a@grp", CHANGE).startswith("423 locked")
    assert not circuit.find_broken("b@grp", CHANGE)


async def test_records_that_a_gateway_refuses_fail_alone() -> None:
    """However many in a row: the portal itself is asked now and then."""
    portal = Portal()
    circuit = Circuit(portal)  # type: ignore[arg-type]
    for number in range(100):
        assert await circuit.weigh(f"p{number}@x.com", CHANGE, WALL) is None
    assert not circuit.find_broken("other@x.com", CHANGE)
    assert portal.asked == 12
    assert not circuit.notes


async def test_a_kind_of_change_that_a_gateway_never_lets_through_is_left() -> None:
    """All other kinds go on, and the run says why once."""
    circuit = Circuit(Portal())  # type: ignore[arg-type]
    for number in range(32):
        assert not circuit.find_broken("p@x.com", CHANGE)
        assert await circuit.weigh(f"p{number}@x.com", CHANGE, NO_METHOD) is None
    assert circuit.find_broken("p@x.com", CHANGE).startswith("does not let PATCH through; so it went with 32 records")
    assert not circuit.find_broken("p@x.com", OTHER)
    assert circuit.notes == [circuit.find_broken("p@x.com", CHANGE)]


async def test_a_record_that_a_gateway_refuses_again_and_again_is_left_for_that_kind() -> None:
    """A big group takes many requests."""
    circuit = Circuit(Portal())  # type: ignore[arg-type]
    for _ in range(8):
        assert await circuit.weigh("a@grp", OTHER, WALL) is None
    assert "again and again" in circuit.find_broken("A@grp", OTHER)
    assert not circuit.find_broken("a@grp", CHANGE)
    assert not circuit.find_broken("b@grp", OTHER)


async def test_a_gateway_that_refuses_the_small_question_too_ends_the_run() -> None:
    """Then nothing can be done."""
    circuit = Circuit(Portal(WALL))  # type: ignore[arg-type]
    ends = [await circuit.weigh(f"p{number}@x.com", CHANGE, WALL) for number in range(8)]
    assert ends == [None] * 7 + [WALL]
