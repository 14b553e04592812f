"""The result of a drill: as a table for people, as one document for machines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from syncd.cli.screen.output import print_line, print_table

if TYPE_CHECKING:
    from syncd.sandbox.drill.results import Report, Result

_COLUMNS = (
    ("fault", 2), ("what happens", 8), ("planned", 1), ("held", 1), ("removed", 1), ("by mistake", 4),
    ("converged", 1),
)  # fmt: skip
_LEGEND = (
    "planned: changes of the largest plan while it went on; held: how many of them waited for a person; removed: who "
    "lost anything, meant or not; by mistake: who lost or got what nobody meant; converged: the portal was right in "
    "the end. On an ordinary day one is deleted, one is disabled and one leaves a group: these three are meant."
)
_WHO = 10
_HARMS = (
    ("deleted", "deleted"),
    ("unlinked", "out of groups"),
    ("revoked", "without licences"),
    ("groups", "groups deleted or without rights"),
    ("gained", "given what nobody gave"),
    ("passed", "replaced by another person"),
    ("foreign", "records of others touched"),
    ("unasked", "written before anybody looked"),
)
"""Kinds of harm, by their name in a result, as a table says them."""


def print_report(report: Report, *, weak: Sequence[str]) -> None:
    """Print what was played with, a line for each fault, and what it comes to. ``weak``: settings that protect less."""
    print_line(describe_company(report))
    for note in report.notes:
        print_line(note)
    print_line()
    print_table(_COLUMNS, map(_describe, report.results))
    print_line()
    print_line(_LEGEND)
    print_line()
    for result in report.results:
        if result.who:
            shown, left = result.who[:_WHO], len(result.who) - _WHO
            print_line(f"{result.fault}: {', '.join(shown)}{f' and {left} more' if left > 0 else ''}")
    bad = [result for result in report.results if not result.passed_off_well]
    if not bad:
        print_line(f"Nobody would have been removed by mistake under any of {len(report.results)} faults.")
        return
    print_line(f"{len(bad)} of {len(report.results)} faults would have done harm, or did not heal.")
    if weak:
        print_line(f"What protects less than by default here: {'; '.join(weak)}.")


def describe_company(report: Report) -> str:
    """Return one sentence about who played."""
    who = f"{report.people:,} people and {report.groups:,} groups"
    if not report.stored_people:
        return f"Played with a made-up company of {who}; {report.synchronised:,} of them are synchronised."
    if report.people < report.stored_people:
        who = f"{report.people:,} of {report.stored_people:,} people and {report.groups:,} groups"
    return f"Played with a copy of the stored company, {who}; {report.synchronised:,} of them are synchronised."


def tell_fault(side: str, says: str, day: str) -> str:
    """Return in words what is done to which side, and what really happens besides."""
    return f"{side}: {says}{f' ({day})' if day else ''}"


def describe_report(report: Report, *, weak: Sequence[str]) -> Mapping[str, object]:
    """Return the document of ``--json``."""
    return {
        "company": {
            "made_up": not report.stored_people,
            "people": report.people,
            "groups": report.groups,
            "stored_people": report.stored_people,
            "synchronised": report.synchronised,
        },
        "ok": report.passed_off_well,
        "weak": list(weak),
        "notes": list(report.notes),
        "faults": [
            {
                "fault": result.fault,
                "side": result.side,
                "says": result.says,
                "day": result.day,
                "planned": result.planned,
                "held": result.held,
                "removed": result.removed,
                "by_mistake": {name: getattr(result, name) for name, _ in _HARMS},
                "who": list(result.who),
                "converged": result.converged,
                "runs": list(result.runs),
                "ok": result.passed_off_well,
            }
            for result in report.results
        ],
    }


def _describe(result: Result) -> Sequence[object]:
    harm = [f"{number:,} {words}" for name, words in _HARMS if (number := getattr(result, name))]
    return (
        result.fault,
        tell_fault(result.side, result.says, result.day),
        f"{result.planned:,}",
        f"{result.held:,}",
        f"{result.removed:,}",
        ", ".join(harm) or "nobody",
        "yes" if result.converged else "no",
    )
