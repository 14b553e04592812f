"""Waves: a first plan, or one of changed rules, is applied to a few people, looked at, and then to the rest. Pure.

==========================================================  =========================================================
the plan                                                    goes
==========================================================  =========================================================
`policy.waves` is empty                                     at once
is no first one, and the rules are those of the last push   at once
concerns fewer than `guard.min_population` people           at once: nobody would be spared by a wave of one
carries out an approval, or sets something back             at once: a person has seen it
any other                                                   in waves
==========================================================  =========================================================

The people concerned are ordered by the smallest group that each of them is in, so that whole small groups come first,
and those without a group last. Everything that is done to one person is done in one wave:

===========================================  ========================================================================
a change of                                  goes in the wave
===========================================  ========================================================================
an account, its licences                     of its person, whichever account of theirs it is
a substitution                               of the later one of the two people
a manager, in the second pass                of the later one of person and manager
a membership or ownership                    of its person
a group (made, adopted, changed)             of the first of those who are put into it or taken out; else the last one
a group (deleted), a privilege               the last one, when all its members have gone
licences, where a type that somebody gets    the last one: the seats that others give up are free by then
is taken from others by the same plan
===========================================  ========================================================================

Within a wave the phases have the order that they have in a plan.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from syncd.model.change import Action, ObjectKind
from syncd.model.target import fold
from syncd.plan.rules import GuardLimits, WaveRules

_NAMED = 5
"""So many of the differences are named."""


@dataclass(frozen=True, slots=True)
class OpenWave:
    """A wave that was begun and has not been read back: number ``wave`` of ``waves`` of a run."""

    run_id: int
    wave: int
    waves: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """One change of a wave that was done, beside what the portal shows of it.

    ``name``: the id by which a log may name its record (never the person's own name); ``there``: the record is in the
    portal, the link in its group, the licence held. ``ready``: the portal has copied all records that it names; before
    that it need not show it. ``shown``: the fields of the record.
    """

    seq: int
    action: Action
    object: ObjectKind
    name: str
    there: bool
    ready: bool
    after: Mapping[str, str | None]
    shown: Mapping[str, str | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """What the portal shows otherwise than it was written: place in the plan, id, and the field or kind of object.

    ``how``: "missing", or "still there"; empty for a value that is another one.
    """

    seq: int
    name: str
    field: str
    how: str = ""

    def __str__(self) -> str:
        """Return it in words, with ids alone."""
        return f"{self.field} of {self.name}{' ' if self.how else ''}{self.how}"


def goes_in_waves(rules: WaveRules, limits: GuardLimits, *, changed: bool, people: int) -> bool:
    """Return whether a plan goes in waves. ``changed``: it is the first one, or its rules are new."""
    return bool(rules.percents) and changed and people >= max(limits.min_population, 2)


def cut_waves(people: int, percents: Sequence[int]) -> tuple[int, ...]:
    """Return how many people are done by the end of each wave; each has one more than the one before, at least."""
    ends: list[int] = []
    for percent in percents:
        end = -(-people * percent // 100)
        if end > (ends[-1] if ends else 0):
            ends.append(end)
    return tuple(ends)


def compare_sent(sent: Iterable[Sent]) -> tuple[tuple[Difference, ...], int]:
    """Return in what the portal differs from what was written, in the order of the plan, and how much it still copies.

    Letter case and outer blanks are the portal's own. What it still copies need not be shown, and is no difference yet:
    of that only the number is told of what is not shown as it was written.
    """
    found: list[Difference] = []
    copied = 0
    for each in sent:
        differences = _find_differences(each)
        if each.ready:
            found += differences
        else:
            copied += bool(differences)
    return tuple(found), copied


def _find_differences(each: Sent) -> list[Difference]:
    gone = each.action in ("delete", "unlink", "revoke")
    if each.there == gone:
        what = each.object if each.object in ("membership", "ownership", "licence") else "record"
        return [Difference(seq=each.seq, name=each.name, field=what, how="still there" if gone else "missing")]
    if gone:
        return []
    fields = sorted(name for name, value in each.after.items() if not _is_same(value, each.shown.get(name)))
    return [Difference(seq=each.seq, name=each.name, field=field) for field in fields if field in each.shown]


def _is_same(written: str | None, shown: str | None) -> bool:
    return fold((written or "").strip()) == fold((shown or "").strip())


def say_wave_held(
    wave: int,
    waves: int,
    *,
    differences: Sequence[Difference],
    failed: int,
    allowed: int | None,
    before: bool = False,
    rest: bool = True,
) -> str:
    """Return why the rest of a plan waits, empty when nothing is wrong. ``before``: the wave is that of an earlier run.

    ``rest`` False: nothing is left that could wait.

    Ids only: the sentence stands in logs and on the status page.
    """
    parts: list[str] = []
    if differences:
        named = ", ".join(map(str, differences[:_NAMED]))
        more = f" and {len(differences) - _NAMED:,} more" if len(differences) > _NAMED else ""
        number = f"{len(differences):,} things are" if len(differences) != 1 else "1 thing is"
        parts.append(f"{number} not in the portal as written ({named}{more})")
    if allowed is not None and failed > allowed:
        number = f"{failed:,} change{'s' if failed != 1 else ''} failed"
        parts.append(f"{number} (guard.max_wave_failures allows {allowed:,})")
    if not parts:
        return ""
    which = f"wave {wave} of {waves}{' of an earlier run, which was cut short' if before else ''}"
    return f"{which}: {'; '.join(parts)}; {'the rest waits' if rest else 'nothing was left to wait'}"
