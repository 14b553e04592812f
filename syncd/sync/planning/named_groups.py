"""The groups that the settings name, found in the directory: by id, by what is remembered, or looked up once."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import structlog

from syncd.errors import ConfigError
from syncd.plan.group_names import (
    KnownGroup,
    Meaning,
    Remembered,
    fold_name,
    mean_id,
    mean_name,
    mean_remembered,
)
from syncd.plan.licences import name_licence_role
from syncd.plan.rules import Rules

if TYPE_CHECKING:
    from syncd.store.store import Store

Reference = tuple[str, str, str]
"""The role that a group plays, the setting that names it, and the id or the name."""


class NamedGroups:
    """Finds the groups of one planning. Not reused; called in the store's thread."""

    def __init__(self, store: Store, rules: Rules) -> None:
        self._store = store
        self._references = list(_list_references(rules))
        self._bearers: dict[str, list[KnownGroup]] = {}
        self._looked_at: set[str] | None = None
        self.before = ""
        """Which groups the scope meant when people were last decided about."""
        self.news: list[str] = []
        """What a person has to be told of them."""
        self._log = structlog.get_logger("syncd.push")

    def find(self, *, full: bool, write: bool) -> dict[str, list[int]]:
        """Return the keys of the groups of each role; ConfigError with everything that cannot be found.

        ``full`` False: of the groups that may bear a name only the touched ones are looked at. ``write`` False: a dry
        run, perhaps under other settings, which remembers nothing.
        """
        desired, found, problems = self._store.desired, dict[str, list[int]](), list[str]()
        known, self.before = desired.load_scope()
        names: dict[str, Remembered] = {}
        for role, setting, reference in self._references:
            meaning = self._mean(setting, reference, known, full=full)
            if meaning.group is None:
                problems.append(meaning.problem)
                continue
            found.setdefault(role, []).append(meaning.group.key)
            if meaning.remembered is not None:
                names[fold_name(reference)] = meaning.remembered
            self._tell(setting, meaning, known.get(fold_name(reference)))
        if problems:
            raise ConfigError(problems)
        if write and names != known:
            desired.save_group_names(names)
        return found

    def _mean(self, setting: str, reference: str, known: dict[str, Remembered], *, full: bool) -> Meaning:
        by_id = self._store.desired.find_group(reference.strip().lower())
        if by_id is not None:
            return mean_id(setting, by_id)
        before = known.get(fold_name(reference))
        if before is None:
            return mean_name(setting, reference, self._find_bearers(reference, full=True))
        return mean_remembered(
            setting,
            reference,
            known=before,
            group=self._store.desired.find_group(before.id),
            bearers=self._find_bearers(reference, full=full),
            looked_at=self._looked_at,
        )

    def _find_bearers(self, name: str, *, full: bool) -> list[KnownGroup]:
        """Return the groups that bear a name, of all or of the touched ones; they are gone through once."""
        if not self._bearers or (full and self._looked_at is not None):
            wanted = {fold_name(reference) for _, _, reference in self._references}
            self._bearers, self._looked_at = {name: [] for name in wanted}, None if full else set()
            for chunk in self._store.desired.iterate_named_groups(touched_only=not full):
                for group in chunk:
                    if self._looked_at is not None:
                        self._looked_at.add(group.id)
                    if group.there and fold_name(group.name) in wanted:
                        self._bearers[fold_name(group.name)].append(group)
        return self._bearers[fold_name(name)]

    def _tell(self, setting: str, meaning: Meaning, before: Remembered | None) -> None:
        if meaning.remembered is None:
            return
        group = meaning.remembered.id
        if before is None:
            self._log.info("group.remembered", setting=setting, group=group)
        for words in meaning.news:
            self._log.warning("group.name_moved", setting=setting, group=group, others=list(meaning.remembered.rivals))
            self.news.append(words)


def _list_references(rules: Rules) -> Iterator[Reference]:
    yield from (("include", "scope.include_groups", name) for name in rules.scope.include_groups)
    yield from (("exclude", "scope.exclude_groups", name) for name in rules.scope.exclude_groups)
    for number, rule in enumerate(rules.licences):
        yield name_licence_role(number), f"licences[{number}].group", rule.group
