"""Replicas that are behind: reads that answer from an older state, while delta tells what has happened since.

Microsoft Graph reads from replicas that are brought up to date one after the other, so that a list, a single object or
a count can be older than what delta has told already (developer.microsoft.com/identity blog, 2026-03-24). Each kind of
read can be frozen alone:

===========  ======================================================================================================
``lists``    ``/users``, ``/groups``, the lists of deleted items
``links``    members, owners, groups above, owned objects, reports: every list that hangs on one object
``singles``  one user, group, manager or deleted item, and getByIds
``counts``   ``$count``, in the path and in the query
===========  ======================================================================================================
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Literal, TypeGuard, get_args

from syncd.errors import ConfigError
from syncd.sandbox.tenant.view import View

Read = Literal["lists", "links", "singles", "counts"]
READS: tuple[Read, ...] = get_args(Read)


class Replicas:
    """Which state each kind of read sees."""

    def __init__(self, directory: View) -> None:
        self._directory = directory
        self._frozen: dict[Read, View] = {}

    @property
    def frozen(self) -> tuple[Read, ...]:
        """Return the kinds of read that answer from an older state."""
        return tuple(read for read in READS if read in self._frozen)

    def freeze(self, *reads: Read) -> None:
        """Let those reads (all of them when none is named) go on answering what is true at this moment."""
        copied = self._directory.copy()
        for read in reads or READS:
            self._frozen[read] = copied

    def thaw(self, *reads: Read) -> None:
        """Let those reads (all of them when none is named) answer the truth again."""
        for read in reads or READS:
            self._frozen.pop(read, None)

    def view(self, read: Read) -> View:
        """Return the state that a kind of read sees."""
        return self._frozen.get(read, self._directory)


def parse_reads(document: Mapping[str, object]) -> tuple[Read, ...]:
    """Return the kinds of read that ``{"reads": [...]}`` names. Raises ConfigError."""
    unknown = [f"{key}: there is no such key" for key in sorted(document.keys() - {"reads"})]
    wanted = document.get("reads", [])
    if unknown or not isinstance(wanted, list) or not _are_reads(wanted):
        raise ConfigError(unknown or [f"reads: a list of {', '.join(READS)}; an empty one means all"])
    return tuple(wanted)


def _are_reads(wanted: Iterable[object]) -> TypeGuard[list[Read]]:
    return all(each in READS for each in wanted)
