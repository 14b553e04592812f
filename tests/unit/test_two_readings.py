"""Two readings of one list beside each other: who is met, whoever leaves while the pages are read."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import cycle

import pytest

from syncd.errors import EndlessRound
from syncd.sync.pull.two_readings import TwoReadings

_PEOPLE = 14


class Company:
    """A list whose pages are offsets, so that they shift when somebody leaves or comes."""

    def __init__(self, page: int, page_of_ids: int) -> None:
        self.people = list(range(_PEOPLE))
        self.pages = {False: page, True: page_of_ids}
        self.readings = TwoReadings()
        self.met: dict[bool, set[int]] = {False: set(), True: set()}
        self.asked: list[bool] = []

    def ask(self, *, again: bool) -> None:
        """Ask for a page and take it."""
        reading = self.readings.second if again else self.readings.first
        reading.running = True
        self.asked.append(again)
        start, size = int(reading.link or 0), self.pages[again]
        shown = self.people[start : start + size]
        self.met[again].update(shown)
        more = str(start + size) if start + size < len(self.people) else None
        self.readings.step(len(shown), more, again=again)

    def read(self, *, prefer: Iterator[bool], at: int, happens: Callable[[list[int]], None]) -> None:
        """Read to the end; before the page of that number something happens."""
        while not self.readings.done:
            if len(self.asked) == at:
                happens(self.people)
            again = next(prefer)
            due = self.readings.second_is_due if again else self.readings.first_is_due
            other = self.readings.first_is_due if again else self.readings.second_is_due
            assert due or other
            assert len(self.asked) < 5 * _PEOPLE, "the readings come to no end"
            self.ask(again=again if due else not again)


@pytest.mark.parametrize("leaver", range(_PEOPLE))
@pytest.mark.parametrize("turns", [(False,), (True,), (False, True), (False, False, True)])
@pytest.mark.parametrize(("page", "page_of_ids"), [(3, 3), (2, 6), (5, 2)])
def test_whom_one_departure_hides_from_one_reading_the_other_one_meets(
    leaver: int, turns: tuple[bool, ...], page: int, page_of_ids: int
) -> None:
    """Whenever somebody leaves, and in whichever order the pages are asked for: nobody who stays is unmet by both."""
    for at in range(2 * _PEOPLE):
        company = Company(page, page_of_ids)
        company.read(prefer=cycle(turns), at=at, happens=lambda people: people.remove(leaver))
        unmet = set(range(_PEOPLE)) - {leaver} - company.met[False] - company.met[True]
        assert not unmet, f"before page {at}"


def test_the_second_reading_does_not_wait_for_the_end_of_the_first_one() -> None:
    """It follows at two pages' distance, so that both together take hardly longer than one."""
    company = Company(2, 2)
    company.read(prefer=cycle((False, True)), at=-1, happens=list.clear)
    assert "".join("12"[again] for again in company.asked) == "11121212121222"
    assert company.met[True] == set(range(_PEOPLE))


def test_a_list_of_one_page_is_read_once() -> None:
    """Nothing can shift there."""
    company = Company(_PEOPLE, _PEOPLE)
    company.read(prefer=cycle((True,)), at=-1, happens=list.clear)
    assert company.asked == [False]


@pytest.mark.parametrize("running", [False, True])
def test_a_first_reading_that_begins_anew_takes_the_second_one_with_it(running: bool) -> None:
    """Else it could pass by the second one's place; what was under way for that one then counts no more."""
    readings = TwoReadings()
    for link in ("2", "4", "6", "8"):
        readings.step(2, link, again=False)
    readings.step(2, "2", again=True)
    readings.second.running = running
    assert readings.begin_anew(again=False) == 2
    for link in ("2", "4", "6"):
        readings.step(2, link, again=False)
    if running:
        assert not readings.second_is_due
        readings.step(2, "4", again=True)
    assert (readings.second.place, readings.second.link, readings.second_is_due) == (0, None, True)


def test_a_second_reading_that_begins_anew_leaves_the_first_one_alone() -> None:
    """Its link came too late, and not the other one's."""
    readings = TwoReadings()
    for link in ("2", "4", "6"):
        readings.step(2, link, again=False)
    readings.step(2, "2", again=True)
    assert readings.begin_anew(again=True) == 2
    assert (readings.first.place, readings.second.place) == (6, 0)


@pytest.mark.parametrize("again", [False, True])
def test_a_circle_of_links_is_an_error(again: bool) -> None:
    """A page that leads to an earlier one would be read for ever."""
    readings = TwoReadings()
    readings.step(2, "2", again=False)
    readings.step(2, "4", again=False)
    readings.step(2, "6", again=False)
    readings.step(2, "8", again=again)
    with pytest.raises(EndlessRound):
        readings.step(2, "8", again=again)
