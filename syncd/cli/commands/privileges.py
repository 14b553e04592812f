"""``syncd privileges``: what the rules give which group where, and what is known of it, from the store alone."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from syncd.cli.options import STORE_ONLY, Invocation, pass_invocation, shared_options
from syncd.cli.screen.lists import Listing, list_options
from syncd.cli.screen.names import name_groups
from syncd.cli.screen.output import Stream, print_json, print_line

if TYPE_CHECKING:
    from syncd.plan.rules import PrivilegeRule, Rules
    from syncd.store.store import Store


_COLUMNS = (("group", 8), ("place", 8), ("level", 4), ("company", 2), ("state", 3), ("what is known", 12))
_HEADINGS = ("rule", "group", "bps id", "place", "level", "company", "state", "what is known")
_KEYS = ("rule", "group", "bps_id", "place", "level", "company", "state", "detail")


@click.command("privileges")
@list_options
@shared_options
@pass_invocation
def privileges(invocation: Invocation, *, listing: Listing) -> None:
    """List per rule where it gives what to which group, and what no rule gives any more.

    The portal tells who has something at a place, and neither the level nor the company: what nobody can know is said.
    Neither side is asked; the last full run has looked. Where a rule is wrong, or names what no run has looked up,
    both are asked what the rules name and nobody has.

    \b
    Examples:
      syncd privileges
      syncd privileges --json
    """
    from syncd.bootstrap.rules import make_rules
    from syncd.bootstrap.store import open_store
    from syncd.store.store import Store
    from syncd.sync.portal.privileges import recall_rules

    # Without its rules everything would be told as given by none.
    settings = invocation.start(need=STORE_ONLY, refuse_privileges=True, quiet=True)
    rules = make_rules(settings)
    with contextlib.closing(open_store(settings, create=False)) as database:
        store = Store(database)
        if any(known is None for _, known in recall_rules(store, rules)):
            from syncd.bootstrap.rule_names import START_SECONDS, refuse_misnamed  # with clients for both sides

            refuse_misnamed(settings, START_SECONDS)
        found = list(list_privileges(store, rules))
        if invocation.json:
            print_json(Stream(listing.take(found)))
            return
        if listing.export(_HEADINGS, lambda: (tuple(each[key] for key in _KEYS) for each in found)):
            return
        rows = [("group", each["bps_id"] or each["group"], *(each[key] for key in _KEYS[3:])) for each in found]
        named = [row[1:] for row in name_groups(database, rows, kind=0)]
    if not found:
        print_line("No [[privileges]] rules, and nothing that rules of the past gave.")
        return
    listing.print(_COLUMNS, named, total=len(named))


def _name_place(rule: PrivilegeRule) -> str:
    from syncd.model.privilege import PLACE_WORDS

    return f"{PLACE_WORDS[rule.kind]} {rule.place} (database {rule.database})"


def list_privileges(store: Store, rules: Rules) -> Iterator[dict[str, Any]]:
    """Yield the entries of the JSON document: what each rule gives, then what none does."""
    from syncd.model.reason import Cause
    from syncd.plan.report.privileges import DETAILS, Line, list_lines
    from syncd.plan.words import say
    from syncd.sync.planning.privileges import load_allowed
    from syncd.sync.portal.places import is_exact
    from syncd.sync.portal.privileges import find_unknown_groups, recall_rules

    recalled, unknown = recall_rules(store, rules), find_unknown_groups(store, rules)
    wanted = [each for _, each in recalled if each is not None]
    places, refused = store.privileges.load_readable(), store.privileges.load_refusal.blocking() is not None
    failing = store.privileges.load_failing()
    titles = {token: str(place) for token, place in store.privileges.name_places(places).items()}
    titles |= {place.token: str(place) for place in store.privileges.load_places.blocking()}
    titles |= {each.privilege.place.token: str(each.privilege.place) for each in wanted}
    named: dict[int, list[str]] = {}
    for place, key in sorted(store.privileges.load_holders()):
        named.setdefault(key, []).append(place)
    lines = list[Line]()
    for view in load_allowed(store, wanted, also=named):
        own = named.pop(view.group.key, ()) if view.group.owned or not view.group.exists else ()
        failed = failing.get(view.group.key)
        lines += list_lines(view, rules, places=places, named=own, titles=titles, refused=refused, failing=failed)
    for bps_id, key in sorted((name, key) for key, name in store.privileges.load_names(named).items()):
        lines += [
            Line(
                rule=None, bps_id=bps_id, privilege=None, place=titles.get(place, place), state="foreign",
                detail=DETAILS["foreign"],
            )
            for place in named[key]
        ]  # fmt: skip
    told = {line.rule for line in lines}
    entries: list[tuple[int, dict[str, Any]]] = []
    for line in lines:
        privilege = line.privilege
        entry = {
            "rule": line.rule,
            "group": None if line.rule is None else rules.privileges[line.rule].group,
            "bps_id": line.bps_id,
            "place": line.place,
            "level": privilege.level if privilege else None,
            "company": (privilege.company_name or privilege.company or None) if privilege else None,
            "state": line.state,
            "detail": line.detail,
        }
        entries.append((len(rules.privileges) if line.rule is None else line.rule, entry))
    for number, each in recalled:
        if number in told:
            continue
        rule = rules.privileges[number]
        why = "the group has no record in the portal that is wanted: see 'syncd explain'"
        if each is None:
            why = say(Cause.PRIVILEGES_REFUSED).text if refused else "no run has looked it up in the portal yet"
            if rule.company and not is_exact(rule.company):
                why += "; a company is found by its name with the scope Admin.BusinessEntities.Read only"
            why = unknown.get(number, why)
        entry = {
            "rule": number, "group": rule.group, "bps_id": None,
            "place": str(each.privilege.place) if each else _name_place(rule),
            "level": rule.level, "company": rule.company or None, "state": "waiting", "detail": why,
        }  # fmt: skip
        entries.append((number, entry))
    yield from (entry for _, entry in sorted(entries, key=lambda each: (each[0], str(each[1]["bps_id"]))))
