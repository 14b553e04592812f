"""What is selected of users and groups, and what Graph turned out to know of it."""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any, TypeVar
from urllib.parse import quote

import msgspec

from syncd.errors import BadQuery
from syncd.graph.options import OPTIONAL_ATTRIBUTES, GraphOptions, list_attributes, list_relations
from syncd.graph.permissions import find_missing, list_own_needs
from syncd.graph.wire.list_pages import ListParser
from syncd.model.source import STREAMS, Stream

T = TypeVar("T")

MANAGER_ID = "manager($levels=1;$select=id)"


class Selection:
    """The properties that each stream is read with.

    What Graph need not know (a property of a later year) is selected until Graph refuses it, then left out.
    """

    def __init__(self, options: GraphOptions) -> None:
        needed = {stream: list_attributes(options, stream) for stream in STREAMS}
        self.wanted: Mapping[Stream, tuple[str, ...]] = {
            stream: tuple(sorted({*names, *OPTIONAL_ATTRIBUTES[stream]})) for stream, names in needed.items()
        }
        """What would be selected if Graph knew everything."""
        self._needed: Mapping[Stream, tuple[str, ...]] = needed
        self.selected = dict(self.wanted)
        """What is selected now."""
        self.relations: Mapping[Stream, tuple[str, ...]] = {
            stream: list_relations(options, stream) for stream in STREAMS
        }
        self.parsers = {stream: ListParser(stream, names) for stream, names in self.selected.items()}
        self.manager = MANAGER_ID
        """What is expanded of users: their managers, if Graph takes it with nothing but their ids."""
        self.own = {stream: list_own_needs(options, stream) for stream in STREAMS}
        """Per stream the properties with a permission of their own, each with that permission."""
        self._unshown: dict[Stream, set[str]] = {}
        """Per stream that is read as a whole: those of ``own`` that nobody showed yet."""

    def note_values(self, stream: Stream, objects: Iterable[Any], *, first: bool) -> None:
        """Note which properties with a permission of their own have a value; ``first``: a full read begins."""
        if first:
            self._unshown[stream] = {name for name, _ in self.own[stream]}
        unshown = self._unshown.get(stream)
        for values in objects:
            if not unshown:
                return
            found = values if isinstance(values, Mapping) else msgspec.to_builtins(values)
            unshown -= {name for name in unshown if found.get(name) not in (None, [], {})}

    def may_hide(self, stream: Stream) -> bool:
        """Return whether the last full read showed no value at all of a property with a permission of its own."""
        return bool(self._unshown.get(stream))

    def list_lacking(self, stream: Stream, roles: frozenset[str]) -> tuple[str, ...]:
        """Return a sentence for each property that nobody showed and whose permission the token's roles lack."""
        unshown = self._unshown.get(stream, set())
        return tuple(
            f"nobody shows {name}, and the token lacks {permission}, which it needs: grant it, or take {name} out of "
            "the rules"
            for name, permission in self.own[stream]
            if name in unshown and find_missing(roles, (permission,))
        )

    async def select_offered(self, stream: Stream, fetch: Callable[[], Awaitable[T]]) -> T:
        """Fetch with everything selected; where Graph refuses that, without what it need not know, from then on.

        A refusal that names such a property is taken for one of it, and so is one that names none and comes twice.
        """
        optional = set(self.selected[stream]) - set(self._needed[stream])
        try:
            return await fetch()
        except BadQuery as error:
            if not optional:
                raise
            refused = error
        words = refused.said.lower()
        if not any(name.lower() in words for name in optional):
            if "propert" in words:
                raise refused
            with contextlib.suppress(BadQuery):
                return await fetch()
        everything = self.selected[stream]
        self._set_selected(stream, self._needed[stream])
        try:
            return await fetch()
        except BaseException as error:  # also when it is broken off: only an answer shows what Graph does not know
            self._set_selected(stream, everything)
            if isinstance(error, BadQuery):
                raise refused from None
            raise

    async def expand_offered(self, fetch: Callable[[], Awaitable[T]]) -> T:
        """Fetch with no more of managers than their ids; where Graph refuses that, as a whole from then on.

        The page of the manager wants ``$levels`` beside ``$select`` in brackets, and another sentence of it offers that
        for single users only. Without either, an expansion is answered everywhere, and costs more bytes.
        """
        asked = self.manager
        try:
            return await fetch()
        except BadQuery as error:
            words = error.said.lower()
            if asked != MANAGER_ID or any(name.lower() in words for name in self.wanted["users"]):
                raise
            self.manager, refused = "manager", error
        try:
            return await fetch()
        except BaseException as error:
            self.manager = MANAGER_ID
            if isinstance(error, BadQuery):
                raise refused from None
            raise

    def _set_selected(self, stream: Stream, names: tuple[str, ...]) -> None:
        self.selected[stream] = names
        self.parsers[stream] = ListParser(stream, names)

    def select_tracked(self, stream: Stream) -> str:
        return ",".join((*(quote(name, safe="") for name in self.selected[stream]), *self.relations[stream]))

    def select_listed(self, stream: Stream) -> str:
        """Return the ``$select`` of lists and direct reads of a stream: the id and all that is selected."""
        return ",".join(("id", *(quote(name, safe="") for name in self.selected[stream])))
