"""Which change of a plan belongs to which wave, as statements over the whole plan; `syncd.plan.waves` says the rule."""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    ColumnElement,
    Insert,
    Select,
    Update,
    and_,
    bindparam,
    case,
    delete,
    exists,
    func,
    insert,
    not_,
    or_,
    select,
    union,
    update,
)

from syncd.model.change import REMOVALS, LinkKind, Phase
from syncd.model.reason import Cause
from syncd.plan.words import say
from syncd.store.db.parameters import among_bound
from syncd.store.db.stops import stopped
from syncd.store.inventory.written import LINKS, TABLES
from syncd.store.plans.change_statements import READ, place_rows
from syncd.store.schema.tables import (
    changes,
    desired_users,
    source_objects,
    target_groups,
    target_members,
    target_principals,
    target_users,
    wave_people,
)

_RUN = changes.c.run_id == bindparam("run")
_PLANNED = _RUN, changes.c.status == "planned"
_LINKS = ("membership", "ownership")
_LATER = stopped("held", say(Cause.NEXT_WAVE))
_WAITS = changes.c.status == "held", changes.c.error_cause == Cause.NEXT_WAVE.value


def _rank_people() -> Insert:
    """Note whom a plan concerns: who is in the smallest groups comes first, who is in none last."""
    concerned = union(
        select(changes.c.record_key.label("key")).where(
            *_PLANNED, changes.c.object.in_(("user", "licence", "substitution"))
        ),
        select(changes.c.target_key).where(*_PLANNED, changes.c.object.in_(_LINKS), changes.c.target_key.is_not(None)),
    ).cte("concerned")
    wanted = (
        select(desired_users.c.principal_key, func.min(desired_users.c.key).label("source"))
        .where(desired_users.c.principal_key.is_not(None))
        .group_by(desired_users.c.principal_key)
        .cte("wanted")
    )
    people = (
        select(
            concerned.c.key,
            func.coalesce(target_users.c.source_key, wanted.c.source, -concerned.c.key).label("person"),
        )
        .outerjoin(target_users, target_users.c.key == concerned.c.key)
        .outerjoin(wanted, wanted.c.principal_key == concerned.c.key)
        .cte("people")
    )
    places = union(
        select(changes.c.record_key.label("group_key"), changes.c.target_key.label("member_key")).where(
            *_PLANNED, changes.c.object == "membership"
        ),
        select(target_members.c.group_key, target_members.c.member_key),
    ).cte("places")
    sizes = select(places.c.group_key, func.count().label("size")).group_by(places.c.group_key).cte("sizes")
    own = (
        select(
            people.c.person,
            sizes.c.size,
            sizes.c.group_key,
            func.row_number()
            .over(partition_by=people.c.person, order_by=(sizes.c.size, sizes.c.group_key))
            .label("nth"),
        )
        .join(places, places.c.member_key == people.c.key)
        .join(sizes, sizes.c.group_key == places.c.group_key)
        .cte("own")
    )
    everybody = select(people.c.person).distinct().cte("everybody")
    ordered = (
        select(
            everybody.c.person,
            func.row_number()
            .over(
                order_by=(
                    case((own.c.size.is_(None), 1), else_=0),
                    own.c.size,
                    own.c.group_key,
                    everybody.c.person,
                )
            )
            .label("place"),
        )
        .outerjoin(own, (own.c.person == everybody.c.person) & (own.c.nth == 1))
        .cte("ordered")
    )
    rows = select(people.c.key, people.c.person, ordered.c.place).join(ordered, ordered.c.person == people.c.person)
    return insert(wave_people).from_select(["key", "person", "place"], rows)


def _wave_of(key: ColumnElement[Any]) -> Any:
    return select(wave_people.c.wave).where(wave_people.c.key == key).correlate(changes).scalar_subquery()


def _assign_groups() -> Update:
    other = changes.alias("other")
    first = (
        select(func.min(other.c.wave))
        .where(
            other.c.run_id == bindparam("run"),
            other.c.record_key == changes.c.record_key,
            other.c.object.in_(_LINKS),
            other.c.status == "planned",
        )
        .correlate(changes)
        .scalar_subquery()
    )
    made = changes.c.object == "group", changes.c.action != "delete"
    return update(changes).where(*_PLANNED, *made).values(wave=first)


def _put_off(wave: Any, *conditions: ColumnElement[bool]) -> Update:
    """Let changes wait for the wave of somebody else whom they name, where that is a later one."""
    return update(changes).where(*_PLANNED, *conditions, wave > changes.c.wave).values(wave=wave)


def _manager_wave() -> Any:
    person, manager = desired_users.alias("person"), desired_users.alias("manager")
    return (
        select(func.max(wave_people.c.wave))
        .join(manager, manager.c.principal_key == wave_people.c.key)
        .join(person, person.c.manager_key == manager.c.key)
        .where(person.c.key == changes.c.source_key)
        .correlate(changes)
        .scalar_subquery()
    )


def _put_off_licences() -> Update:
    """Where a type is given to some and taken from others, whoever gets it waits until the others' seats are free.

    Whatever else is done to their licences waits too, and so does the deletion of an account of theirs, which takes its
    licences along.
    """
    given, taken, mine = changes.alias("given"), changes.alias("taken"), wave_people.alias("mine")
    freed = exists().where(
        taken.c.run_id == bindparam("run"),
        taken.c.object == "licence",
        taken.c.action == "revoke",
        taken.c.status == "planned",
        taken.c.target == given.c.target,
        taken.c.record_key != given.c.record_key,
    )
    people = (
        select(mine.c.person)
        .join(given, given.c.record_key == mine.c.key)
        .where(
            given.c.run_id == bindparam("run"),
            given.c.object == "licence",
            given.c.action == "grant",
            given.c.status == "planned",
            freed,
        )
    )
    theirs = select(wave_people.c.key).where(wave_people.c.person.in_(people))
    licence = changes.c.object == "licence"
    deletion = and_(changes.c.object == "user", changes.c.action == "delete")
    return (
        update(changes)
        .where(*_PLANNED, or_(licence, deletion), changes.c.record_key.in_(theirs))
        .values(wave=bindparam("last"))
    )


def _shows_link(kind: LinkKind) -> ColumnElement[bool]:
    table = LINKS[kind]
    there = exists().where(table.c.group_key == changes.c.record_key, table.c.member_key == changes.c.target_key)
    return and_(
        changes.c.object == kind,
        or_(and_(changes.c.action == "link", there), and_(changes.c.action == "unlink", not_(there))),
    )


def _select_sent() -> Select[Any]:
    """Return what a wave has written, without the places that the portal shows as they were written: most of a plan."""
    return place_rows(
        select(*READ)
        .where(
            _RUN,
            changes.c.wave == bindparam("of_wave"),
            changes.c.status == "done",
            changes.c.object.not_in(("substitution", "privilege")),
            changes.c.seq > bindparam("after"),
            not_(or_(*map(_shows_link, LINKS))),
        )
        .order_by(changes.c.seq)
        .limit(bindparam("most"))
    )


def _select_written(*objects: str) -> Select[Any]:
    return (
        select(target_principals.c.bps_id)
        .distinct()
        .join(changes, changes.c.record_key == target_principals.c.key)
        .where(
            _RUN,
            changes.c.wave == bindparam("of_wave"),
            changes.c.status == "done",
            changes.c.object.in_(objects),
        )
        .order_by(target_principals.c.bps_id)
    )


def _shift_parted() -> Update:
    """Managers who were left for the second pass wait for the wave in which the manager's account is made."""
    person, manager, other = desired_users.alias("person"), desired_users.alias("manager"), changes.alias("other")
    later = (
        select(func.max(other.c.wave))
        .join(manager, manager.c.principal_key == other.c.record_key)
        .join(person, person.c.manager_key == manager.c.key)
        .where(
            person.c.key == changes.c.source_key,
            other.c.run_id == bindparam("run"),
            other.c.object == "user",
            other.c.action == "create",
            other.c.status == "held",
            other.c.error_cause == Cause.NEXT_WAVE.value,
        )
        .correlate(changes)
        .scalar_subquery()
    )
    parted = changes.c.phase == int(Phase.MANAGERS), changes.c.wave.is_(None), changes.c.seq >= bindparam("first")
    return update(changes).where(*_PLANNED, *parted, later.is_not(None)).values(wave=later, **_LATER)


def _name_records() -> Select[Any]:
    """Return the source ids behind records of the portal, people and groups, as far as they have any."""
    key = func.coalesce(target_users.c.source_key, target_groups.c.source_key)
    return (
        select(target_principals.c.key, source_objects.c.id)
        .outerjoin(target_users, target_users.c.key == target_principals.c.key)
        .outerjoin(target_groups, target_groups.c.key == target_principals.c.key)
        .join(source_objects, source_objects.c.key == key)
    )


FORGET_PEOPLE = delete(wave_people)
RANK_PEOPLE = _rank_people()
COUNT_PEOPLE = select(func.max(wave_people.c.place))
CUT = (
    update(wave_people)
    .where(wave_people.c.place > bindparam("begin"), wave_people.c.place <= bindparam("end"))
    .values(wave=bindparam("number"))
)
ASSIGN = (
    update(changes)
    .where(*_PLANNED, changes.c.object.in_(("user", "licence", "substitution")))
    .values(wave=_wave_of(changes.c.record_key)),
    update(changes).where(*_PLANNED, changes.c.object.in_(_LINKS)).values(wave=_wave_of(changes.c.target_key)),
    _assign_groups(),
)
"""By person, and groups by their people; in this order."""
ASSIGN_REST = update(changes).where(*_PLANNED, changes.c.wave.is_(None)).values(wave=bindparam("last"))
PUT_OFF = (
    _put_off(_manager_wave(), changes.c.phase == int(Phase.MANAGERS)),
    _put_off(_wave_of(changes.c.target_key), changes.c.object == "substitution"),
)
"""What names two people waits for the later one."""
PUT_OFF_LICENCES = _put_off_licences()
PUT_OFF_LATER = update(changes).where(*_PLANNED, changes.c.wave > 1).values(**_LATER)
BEGIN = (
    update(changes)
    .where(_RUN, *_WAITS, changes.c.wave == bindparam("of_wave"))
    .values(status="planned", error="", error_cause="")
)
REOPEN = update(changes).where(_RUN, *_WAITS).values(status="planned", error="", error_cause="")
HOLD_NEW = update(changes).where(
    *_PLANNED, changes.c.action.not_in(sorted(REMOVALS)), changes.c.object != "substitution"
)
"""Writes the columns that are given into what a run plans anew."""
IS_HELD = select(
    exists().where(
        changes.c.status == "held",
        among_bound(changes.c.run_id, "runs"),
        or_(changes.c.run_id == bindparam("first"), changes.c.held_since == bindparam("first")),
    )
)
"""Whether something that a run ``:first`` held waits still, in that run or in one of those after it."""
COUNT_WAVES = (
    select(changes.c.wave, func.count().label("number"))
    .where(*_PLANNED, changes.c.wave.is_not(None))
    .group_by(changes.c.wave)
    .order_by(changes.c.wave)
)
HOLD_REST = update(changes).where(_RUN, or_(changes.c.status == "planned", and_(*_WAITS)))
"""Writes the columns that are given into all that has not been sent."""
COUNT_FAILED = select(func.count()).where(
    _RUN, changes.c.wave == bindparam("of_wave"), changes.c.status.in_(("failed", "started"))
)
SELECT_SENT = _select_sent()
SELECT_WRITTEN_USERS = _select_written("user")
SELECT_WRITTEN_GROUPS = _select_written("group", *_LINKS)
SELECT_WRITTEN_LICENCES = _select_written("licence")
SHIFT_PARTED = _shift_parted()
NAME_RECORDS = _name_records().where(among_bound(target_principals.c.key, "keys"))
SELECT_READY = {
    kind: select(table.c.key).where(table.c.status == "Synchronized", among_bound(table.c.key, "keys"))
    for kind, table in TABLES.items()
}
