"""The delta engine: rounds over users and groups with opaque tokens, as Graph's delta query does them.

An initial round walks all objects in order of creation (or shuffled); an incremental round walks what the change log
says between two positions. Both write the present values, so a change during a round may be reported twice and is
never lost. A page holds at most ``page_objects`` objects and ``page_links`` links; a group whose links do not fit is
named again on the following pages. Nothing is kept between requests but what the token carries and two small caches.
"""

from __future__ import annotations

import random
from bisect import bisect_right
from collections.abc import Sequence
from functools import lru_cache
from itertools import islice

import msgspec

from syncd.sandbox.tenant.delta_pages import Page, Stream, Token
from syncd.sandbox.tenant.directory import Directory
from syncd.sandbox.tenant.objects import Group, Node, Relation
from syncd.sandbox.tenant.odata import encode_inner, encode_reference, encode_type
from syncd.sandbox.tenant.rights import Rights
from syncd.sandbox.tenant.rounds import Touched, collect_changes
from syncd.sandbox.tenant.selection import Selection
from syncd.sandbox.wire.tokens import Seal


class DeltaEngine:
    """Serves the pages of delta rounds over one directory."""

    def __init__(self, directory: Directory, *, seed: int) -> None:
        self.directory = directory
        self.knobs = directory.knobs
        self.seal = Seal(f"delta-{seed}".encode())
        self.serial = 0
        self.dead_below = 0
        self.reset_below = 0
        self._random = random.Random(f"delta-{seed}")  # noqa: S311 - reproducible imitation, not a secret
        self._order = lru_cache(maxsize=4)(self._make_order)
        self._touched = lru_cache(maxsize=8)(self._collect)
        self._keys: tuple[object, list[str], list[int]] = (None, [], [])

    def expire_checkpoints(self) -> None:
        """Let every link handed out so far be too old (answered as ``TenantKnobs.expiry_form`` says)."""
        self.dead_below = self.serial + 1

    def reset_checkpoints(self) -> None:
        """Let every link handed out so far answer 410 Gone with the Location of a fresh start."""
        self.reset_below = self.serial + 1

    def forget(self) -> None:
        """Forget what was worked out from the change log, which is another one now."""
        self._order.cache_clear()
        self._touched.cache_clear()
        self._keys = (None, [], [])

    def start(
        self, stream: Stream, selection: Selection, *, only: tuple[str, ...], latest: bool, rights: Rights
    ) -> Page:
        """Return the first page of an initial round, or with ``latest`` the empty page that only opens a delta link."""
        until = self._visible_end()
        now = self.directory.clock.now().timestamp()
        line = self._next_serial()
        token = Token(
            "next",
            stream,
            selection.properties,
            selection.relations,
            only,
            line,
            now,
            now,
            since=-1,
            until=until,
            previous=until,
            bound=len(self._nodes(stream)),
            shuffle=self._random.getrandbits(32) | 1 if self.knobs.shuffle else 0,
            duplicates=self.knobs.duplicates,
            line=line,
        )
        return Page([], self._finished(token)) if latest else self.page(token, rights=rights)

    def resume(self, token: Token, *, text: str, minimal: bool, selection: Selection | None, rights: Rights) -> Page:
        """Return the page that a link leads to; ``selection`` changes what a delta link tracks."""
        if token.role == "next":
            return self.page(token, rights=rights)
        since = token.previous if self.knobs.replay_previous_round else token.until
        until = max(token.until, self._visible_end())
        opened = msgspec.structs.replace(
            token,
            role="next",
            since=since,
            previous=token.until,
            until=until,
            index=0,
            relation=0,
            link=0,
            page=0,
            minimal=minimal,
            paused=False,
            **({} if selection is None else {"properties": selection.properties, "relations": selection.relations}),
        )
        page = self.page(opened, rights=rights)
        if self.knobs.same_delta_token and not page.entries and page.token.role == "delta" and until == token.until:
            return Page([], token, text)
        return page

    def page(self, token: Token, *, rights: Rights) -> Page:
        """Return the page at a position inside a round, as far as the rights let it be seen."""
        knobs = self.knobs
        if knobs.endless_rounds:
            return Page([], self._moved(token, index=token.index, relation=token.relation, link=token.link))
        every = knobs.empty_page_every
        if every and not token.paused and token.page % every == 1 % every:
            paused = self._moved(token, index=token.index, relation=token.relation, link=token.link)
            return Page([], msgspec.structs.replace(paused, paused=True))
        return self._initial_page(token, rights) if token.since < 0 else self._changes_page(token, rights)

    # ---- initial rounds

    def _initial_page(self, token: Token, rights: Rights) -> Page:
        nodes = self._nodes(token.stream)
        order = self._order(token.bound, token.shuffle, token.duplicates)
        only, unseen = frozenset(token.only), _unseen(token, rights)
        entries: list[bytes] = []
        room = self.knobs.page_links
        index, relation, link = token.index, token.relation, token.link
        while index < len(order):
            if len(entries) >= self.knobs.page_objects or room <= 0:
                return Page(entries, self._moved(token, index=index, relation=relation, link=link))
            node = nodes[order[index]]
            if only and node.id not in only:
                index += 1
                continue
            if node.state != "active":
                if self.knobs.initial_removed_objects:
                    entries.append(self._removal(node))
                index, relation, link = index + 1, 0, 0
                continue
            shown = rights.hidden_members or not node.hides_members
            parts = [self._encode_object(node, token.properties, unseen)]
            while relation < len(token.relations) and shown:
                name = token.relations[relation]
                references, link, more = self._present_links(node, name, after=link, room=room)
                room -= len(references)
                if name == "members" and not more and self.knobs.initial_removed_links and isinstance(node, Group):
                    references += [self._encode_link(i, removed=True) for i in node.former]
                if references:
                    parts.append(b'"%b@delta":[%b]' % (name.encode(), b",".join(references)))
                if more:
                    break
                relation, link = relation + 1, 0
            entries.append(b"{%b}" % b",".join(parts))
            if relation >= len(token.relations) or not shown:
                index, relation, link = index + 1, 0, 0
        return Page(entries, self._finished(token))

    def _present_links(self, node: Node, name: str, *, after: int, room: int) -> tuple[list[bytes], int, bool]:
        """Return encoded links numbered above ``after``, the last number used, and whether more are left."""
        objects = self.directory.objects
        if not isinstance(node, Group):
            manager = objects.get(node.manager or "")
            return ([self._encode_link(manager.id)] if manager is not None else [], 0, False)
        relation: Relation = "owners" if name == "owners" else "members"
        links = node.links(relation)
        if after == 0:
            chosen = list(islice(links.items(), max(room, 0)))
            left = len(links) - len(chosen)
        else:
            keys, numbers = self._link_arrays(node, relation)
            first = bisect_right(numbers, after)
            chosen = list(zip(keys[first : first + room], numbers[first : first + room], strict=True))
            left = len(keys) - first - len(chosen)
        last = chosen[-1][1] if chosen else after
        return [self._encode_link(key) for key, _ in chosen], last, left > 0

    def _link_arrays(self, group: Group, relation: Relation) -> tuple[list[str], list[int]]:
        mark = (group.id, relation, len(self.directory.log), len(group.links(relation)))
        if self._keys[0] != mark:
            links = group.links(relation)
            self._keys = (mark, list(links), list(links.values()))
        return self._keys[1], self._keys[2]

    def _make_order(self, bound: int, shuffle: int, duplicates: float) -> Sequence[int]:
        if not shuffle and not duplicates:
            return range(bound)
        order = list(range(bound))
        chance = random.Random(shuffle)  # noqa: S311 - reproducible imitation
        order += chance.sample(order, k=min(bound, int(bound * duplicates)))
        if shuffle:
            chance.shuffle(order)
        return order

    # ---- incremental rounds

    def _changes_page(self, token: Token, rights: Rights) -> Page:
        touched = self._touched(token.stream, token.since, token.until, token.properties, token.relations)
        only, unseen = frozenset(token.only), _unseen(token, rights)
        entries: list[bytes] = []
        room = self.knobs.page_links
        index, link = token.index, token.link
        while index < len(touched):
            if len(entries) >= self.knobs.page_objects or room <= 0:
                return Page(entries, self._moved(token, index=index, relation=0, link=link))
            change = touched[index]
            node = self.directory.objects[change.id]
            if only and node.id not in only:
                index += 1
                continue
            if node.state != "active":
                entries.append(self._removal(node))
                index, link = index + 1, 0
                continue
            reported = change.links if rights.hidden_members or not node.hides_members else []
            links = reported[link : link + room]
            room -= len(links)
            entries.append(self._encode_change(node, change, token, links, unseen=unseen, first=link == 0))
            link += len(links)
            if link >= len(reported):
                index, link = index + 1, 0
        return Page(entries, self._finished(token))

    def _encode_change(
        self,
        node: Node,
        change: Touched,
        token: Token,
        links: Sequence[tuple[str, str, bool]],
        *,
        unseen: frozenset[str],
        first: bool,
    ) -> bytes:
        properties = token.properties
        if token.minimal and not change.whole:
            properties = tuple(name for name in properties if name in change.fields)
        parts = [self._encode_object(node, properties, unseen)]
        for name in dict.fromkeys(relation for relation, _, _ in links):
            references = [self._encode_link(i, removed=gone) for its, i, gone in links if its == name]
            parts.append(b'"%b@delta":[%b]' % (name.encode(), b",".join(references)))
        if first and "manager" in token.relations and (references := self._manager_links(node, change)):
            parts.append(b'"manager@delta":[%b]' % b",".join(references))
        return b"{%b}" % b",".join(parts)

    def _manager_links(self, node: Node, change: Touched) -> list[bytes]:
        knobs = self.knobs
        if not (change.whole or change.manager_changed or knobs.repeat_relationships):
            return []
        present = [self._encode_link(node.manager)] if node.manager is not None else []
        before = change.manager_before
        if not change.manager_changed or before is None or before == node.manager:
            return present
        if present and not knobs.manager_names_old:
            return present
        old = [self._encode_link(before, removed=True)]
        return present + old if knobs.manager_removed_last else old + present

    def _collect(
        self, stream: Stream, since: int, until: int, properties: tuple[str, ...], relations: tuple[str, ...]
    ) -> list[Touched]:
        return collect_changes(self.directory, stream, since, until, tracked=frozenset([*properties, *relations]))

    # ---- encoding

    def _encode_object(self, node: Node, properties: tuple[str, ...], unseen: frozenset[str]) -> bytes:
        """Return an entry without its braces; what is not set, or not to be seen, is left out."""
        stated = encode_type(node, node.kind, stated=self.knobs.subtypes_stated)
        return stated + encode_inner(node, properties, omit_unset=True, unseen=unseen)

    def _encode_link(self, object_id: str, *, removed: bool = False) -> bytes:
        node = self.directory.objects[object_id]
        return encode_reference(node, stated=self.knobs.subtypes_stated, removed=removed)

    def _removal(self, node: Node) -> bytes:
        reason = "changed" if node.state == "deleted" else "deleted"
        stated = encode_type(node, node.kind, stated=self.knobs.subtypes_stated)
        return b'{%b"id":"%b","@removed":{"reason":"%b"}}' % (stated, node.id.encode(), reason.encode())

    # ---- tokens

    def _nodes(self, stream: Stream) -> Sequence[Node]:
        return self.directory.users if stream == "users" else self.directory.groups

    def _visible_end(self) -> int:
        """Return the log position up to which changes are visible now."""
        self.directory.settle()
        log = self.directory.log
        if self.knobs.visibility_delay <= 0:
            return len(log)
        return bisect_right(log, self.directory.clock.monotonic() - self.knobs.visibility_delay, key=lambda c: c.at)

    def _next_serial(self) -> int:
        self.serial += 1
        return self.serial

    def _moved(self, token: Token, *, index: int, relation: int, link: int) -> Token:
        return msgspec.structs.replace(
            token,
            index=index,
            relation=relation,
            link=link,
            page=token.page + 1,
            paused=False,
            serial=self._next_serial(),
            issued=self.directory.clock.now().timestamp(),
        )

    def _finished(self, token: Token) -> Token:
        return msgspec.structs.replace(
            self._moved(token, index=0, relation=0, link=0), role="delta", page=0, minimal=False, since=0
        )


def _unseen(token: Token, rights: Rights) -> frozenset[str]:
    return rights.unseen("user" if token.stream == "users" else "group", token.properties)
