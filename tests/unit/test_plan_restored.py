"""Has the portal gone back in time: the pattern of a restore, and what is no such pattern."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from syncd.plan.restored import Block, PutBack, Restored, find_restored, looks_restored, say_restored

START = datetime(2026, 3, 1, tzinfo=UTC)


def day(number: int) -> datetime:
    """Return a day of the history."""
    return START + timedelta(days=number)


def history(*runs: tuple[int, int], records: int = 5) -> list[Block]:
    """Return blocks of (lost, kept), one run a day; a run of which no last write is left has none."""
    return [
        Block(run_id=number, at=day(number), lost=lost, kept=kept, records=min(records, lost))
        for number, (lost, kept) in enumerate(runs)
        if lost or kept
    ]


@pytest.mark.parametrize(
    ("blocks", "seen", "found"),
    [
        ([], None, None),
        (history((0, 500), (0, 20)), 1, None),
        (history((0, 500), (9, 0)), 1, None),
        (history((0, 500), (12, 0)), 1, Restored(day(1), 12, 12)),
        (history((0, 500), (12, 0), records=2), 1, None),
        (history((12, 488), (0, 20)), 1, None),
        (history((30, 500), (0, 20), (30, 0)), 1, None),
        (history((7, 500), (0, 20), (30, 0)), 1, Restored(day(2), 30, 30)),
        (history((0, 500), (8, 2), (20, 3)), 1, Restored(day(1), 28, 33)),
        (history((0, 500), (4, 6), (20, 0)), 1, Restored(day(2), 20, 20)),
        (history((0, 500), (8, 6), (20, 0)), 1, None),
        (history((500, 0), (40, 0)), 1, Restored(day(0), 540, 540)),
        (history((0, 500), (12, 0), (0, 40)), 1, Restored(day(1), 12, 12)),
        (history((0, 500), (12, 0), (0, 40)), 2, None),
        (history((0, 500), (12, 0), (0, 40)), None, None),
        (history((0, 500), (5, 0), (0, 40), (6, 0)), 1, None),
    ],
)
def test_a_pattern_of_one_moment_is_a_restore(blocks: list[Block], seen: int | None, found: Restored | None) -> None:
    """Whatever was written since, nothing before; what runs wrote after the last full reading may be there again."""
    assert find_restored(blocks, seen=None if seen is None else day(seen)) == found
    assert find_restored(blocks[::-1], seen=None if seen is None else day(seen)) == found


@pytest.mark.parametrize(
    ("put_back", "found"),
    [
        ([], None),
        ([(1, 2, 6)], Restored(day(1), 23, 23)),
        ([(0, 2, 6)], None),
        ([(1, 2, 2)], None),
        ([(1, 2, 4), (1, 2, 2)], Restored(day(1), 23, 23)),
    ],
)
def test_what_was_put_back_since_then_says_nothing(
    put_back: list[tuple[int, int, int]], found: Restored | None
) -> None:
    """It was so before both changes; it speaks against a moment between them, and against none before them."""
    blocks = history((0, 500), (9, 0), (6, 6), (8, 0))
    said = [PutBack(undone=undone, run_id=run, number=number) for undone, run, number in put_back]
    assert find_restored(blocks, said, seen=day(4)) == found


@pytest.mark.parametrize("between", [(0, 0), (0, 1)])
@pytest.mark.parametrize(
    ("made", "found"), [(None, Restored(day(1), 12, 12)), (0, Restored(day(1), 12, 12)), (1, None)]
)
def test_what_a_run_had_made_so_speaks_against_moments_before_it(
    between: tuple[int, int], made: int | None, found: Restored | None
) -> None:
    """A thousand were linked, taken and linked again, and twelve others of the first run were taken out by hand."""
    blocks = history((0, 500), (12, 0), between, (0, 1000))
    again = PutBack(undone=2, made=made, run_id=3, number=1000)
    written = None if found is None else replace(found, written=found.written + between[1])
    assert find_restored(blocks, [again], seen=day(4)) == written


def test_a_moment_between_two_runs_of_which_nothing_is_left_is_found() -> None:
    """What one had made and the other taken was so then, and is so again."""
    blocks = history((0, 500), (0, 0), (0, 0), (12, 30))
    again = PutBack(undone=2, made=1, run_id=3, number=30)
    assert find_restored(blocks, [again], seen=day(4)) == Restored(day(3), 12, 12)


@pytest.mark.parametrize("made", [1, 2])
def test_what_was_made_so_again_after_the_last_change_of_it_counts_as_kept(made: int) -> None:
    """By whom it was changed between is not known, nor when."""
    blocks = history((0, 500), (0, 1), (44, 10))
    again = PutBack(undone=1, made=made, run_id=2, number=10)
    assert find_restored(blocks, [again], seen=day(4)) == Restored(day(2), 44, 54)
    before = PutBack(undone=1, made=0, run_id=2, number=10)
    assert find_restored(blocks, [before], seen=day(4)) == Restored(day(1), 44, 45)


def test_what_was_put_back_after_the_portal_went_back_says_nothing_of_before() -> None:
    """A run that wrote into the restored portal is left out of the count, and so is what it put back."""
    blocks = history((0, 500), (9, 3), (9, 1), (0, 40))
    later = [PutBack(undone=1, run_id=3, number=4)]
    assert find_restored(blocks, later, seen=day(2)) is None
    assert find_restored(blocks, [PutBack(undone=1, run_id=2, number=1)], seen=day(2)) == Restored(day(1), 18, 21)


def test_blocks_of_one_run_are_not_parted_at_its_end() -> None:
    """Within a run, what was written last is no moment: a cluster by name would look like one."""
    blocks = [
        Block(run_id=1, at=day(0), lost=0, kept=400, records=0),
        Block(run_id=1, at=day(0) + timedelta(seconds=1), lost=40, kept=0, records=40),
        Block(run_id=1, at=day(0) + timedelta(seconds=2), lost=0, kept=400, records=0),
    ]
    assert find_restored(blocks, seen=day(-1)) is None


@pytest.mark.parametrize(("lost", "looked_at", "found"), [(2, 2, False), (3, 6, True), (3, 7, False), (20, 20, True)])
def test_a_look_at_a_few_ends_writing(lost: int, looked_at: int, found: bool) -> None:
    """Three at least, and half of them."""
    assert looks_restored(lost=lost, looked_at=looked_at) is found


def test_the_sentence_says_moment_numbers_and_the_way_out() -> None:
    """One sentence for log, run and message."""
    told = say_restored(Restored(day(1), 1200, 1250))
    assert told.startswith(
        "the portal went back in time: 1,200 of 1,250 things that syncd has written since 2026-03-02 00:00"
    )
    assert "'syncd replay --apply'" in told
