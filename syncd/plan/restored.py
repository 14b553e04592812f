"""Has the portal gone back in time? Our own history beside what the portal shows now. Pure.

Everything that syncd ever wrote has a last write: an account that was made or deleted, a value, a membership or an
ownership that was given or taken, a licence. Of each the portal either still shows that write (`kept`), or shows what
was there before it (`lost`); what it shows otherwise says nothing, nor does what is known to have been done by hand.

A backup that is played back, or an older copy that answers at the same address, takes back whatever was written after
one moment, and nothing before it. Whoever changes something by hand does not choose by when we wrote it:

======================================================================  ============================================
since some moment, of all last writes                                   then
======================================================================  ============================================
fewer than `_FEW` are lost, or of fewer than `_RECORDS` records         changed by hand (drift), see `plan.drift`
more than one in five is kept: a restored portal would lack it too      changed by hand
those lost before that moment are more than a quarter of those since    changed by hand, for they fit no moment
at least four in five are lost                                          the portal went back to before that moment
======================================================================  ============================================

Who was taken out of a group and put back is in it, and was before both: the portal keeps the last of such writes also
when it went back to before the first. So they count as kept for moments between the two, and not for earlier ones; but
where it was a run of ours that had put them into it, they count again for moments before that run.

What a run wrote after the portal had gone back is kept, of course: the newest runs are left out of the count where that
makes the pattern clearer, but none from before the last full reading, which found the portal as it should be. A portal
in which nothing differs, a copy of today say, has lost nothing.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

_FEW = ENOUGH_SIGNS = 10
_RECORDS = 3
_KEPT_WEIGHT = 4
"""One kept write speaks against as many lost ones: four in five must be lost."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """Last writes of one run that lie together: when, how many the portal lost and kept, and of how many records."""

    run_id: int
    at: datetime
    lost: int
    kept: int
    records: int

    def __add__(self, other: Block) -> Block:
        """Return both as one: they are parts of one block, and no record has lost something in both."""
        return Block(
            run_id=self.run_id,
            at=min(self.at, other.at),
            lost=self.lost + other.lost,
            kept=self.kept + other.kept,
            records=self.records + other.records,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class PutBack:
    """Kept last writes of run ``run_id`` that put back what run ``undone`` had changed, and how many.

    ``made``: the run that had made it so the time before; None: no run of ours had. Where that was not before
    ``undone``, somebody changed it by hand as well, and they count as kept.
    """

    undone: int
    made: int | None = None
    run_id: int
    number: int


@dataclass(frozen=True, slots=True)
class Restored:
    """The portal shows what was there before ``since``: of ``written`` last writes since then it has lost ``lost``."""

    since: datetime
    lost: int
    written: int


def may_be_restored(signs: int, *, licences: bool) -> bool:
    """Whether so many things that are not as we left them can be a portal that went back: then history is compared.

    Licences are no signs by themselves; where they are looked after, some of what was lost may be theirs.
    """
    return signs >= (_RECORDS if licences else ENOUGH_SIGNS)


def find_restored(
    blocks: Sequence[Block], put_back: Sequence[PutBack] = (), *, seen: datetime | None
) -> Restored | None:
    """Return since when the portal has lost what was written, None where that is no pattern.

    ``seen``: when a full reading last found the portal as it should be; None: not known.
    """
    ordered = sorted(blocks, key=lambda block: (block.at, block.run_id))
    placed = _place(ordered, put_back)
    best: tuple[int, int, int] | None = None  # score, and the places of the first and last block
    for end in _list_ends(ordered, seen):
        after = sum(block.lost for block in ordered[end:])
        score = -_KEPT_WEIGHT * after
        silent = _count_silent(ordered, end, placed)
        for place in range(end - 1, -1, -1):
            block = ordered[place]
            score += block.lost - _KEPT_WEIGHT * (block.kept - silent.get(place, 0))
            if best is None or score > best[0] or (block.lost and score == best[0]):
                best = (score, place, end)
    if best is None or best[0] < 0:
        return None
    _, first, end = best
    within = ordered[first:end]
    silent = _count_silent(ordered, end, placed)
    lost = sum(block.lost for block in within)
    kept = sum(block.kept for block in within) - sum(silent.get(place, 0) for place in range(first, end))
    elsewhere = sum(block.lost for block in ordered) - lost
    if lost < _FEW or sum(block.records for block in within) < _RECORDS or elsewhere * _KEPT_WEIGHT > lost:
        return None
    return Restored(within[0].at, lost, lost + kept)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Silence:
    """Kept writes of a run say nothing from place ``begin`` on backwards, and speak again from place ``end`` on."""

    begin: int
    end: int
    run_id: int
    number: int


def _place(ordered: Sequence[Block], put_back: Sequence[PutBack]) -> list[_Silence]:
    """Return of each from which place on backwards it says nothing, and from which it speaks again.

    It begins at the last block of the run that made the first of the two changes; where that has none, at the one after
    it. It ends at the last block of the run that had made it so; where that has none, at the one before it.
    """
    runs = [block.run_id for block in ordered]
    last = {run_id: place for place, run_id in enumerate(runs)}
    placed = list[_Silence]()
    for each in put_back:
        if each.made is not None and each.made >= each.undone:
            continue
        begin = last.get(each.undone, min(bisect_right(runs, each.undone), len(runs) - 1))
        end = -1 if each.made is None else bisect_right(runs, each.made) - 1
        placed.append(_Silence(begin=begin, end=end, run_id=each.run_id, number=each.number))
    return placed


def _count_silent(ordered: Sequence[Block], end: int, placed: Sequence[_Silence]) -> dict[int, int]:
    """Return how much more (or less) of what is kept before ``end`` says nothing from each place on backwards."""
    newest = ordered[end].run_id if end < len(ordered) else None
    found = dict[int, int]()
    for silence in placed:
        if newest is None or silence.run_id < newest:
            found[silence.begin] = found.get(silence.begin, 0) + silence.number
            found[silence.end] = found.get(silence.end, 0) - silence.number
    return found


def _list_ends(ordered: Sequence[Block], seen: datetime | None) -> list[int]:
    """Return behind which blocks the portal may have gone back: at the end, or before runs since the last reading."""
    ends = [len(ordered)]
    for place in range(len(ordered) - 1, 0, -1):
        if seen is None or ordered[place].at <= seen:
            break
        if ordered[place].run_id != ordered[place - 1].run_id:
            ends.append(place)
    return ends


def looks_restored(*, lost: int, looked_at: int) -> bool:
    """Return whether of a few records that were written last so many are not as they were left that writing ends.

    For runs that have not read the portal: the next one reads all of it, and decides.
    """
    return lost >= _RECORDS and 2 * lost >= looked_at


def say_restored(found: Restored, *, written: int = 0) -> str:
    """Return the sentence of a run that has written nothing for it, but ``written`` removals that the tenant states."""
    did = "Nothing was written"
    if written:
        removals = "one removal" if written == 1 else f"{written:,} removals"
        did = f"Nothing was written but {removals} of places and licences that the tenant states"
    return (
        f"the portal went back in time: {found.lost:,} of {found.written:,} things that syncd has written since "
        f"{found.since:%Y-%m-%d %H:%M} UTC are as they were before; a backup was restored, or another copy answers at "
        f"bps.portal_url. {did}. 'syncd replay' shows what was lost, 'syncd replay --apply' writes it "
        "again; was it changed by hand, 'syncd replay --dismiss' takes the portal as it is"
    )
