"""What is asked about privileges: the statements of `syncd.store.privileges.records`, each built once."""

from __future__ import annotations

from sqlalchemy import and_, bindparam, delete, exists, func, or_, select, update

from syncd.plan.privileges import GONE, LEFT, OURS
from syncd.store.db.markers import PRIVILEGES_TELLING
from syncd.store.db.parameters import among_bound
from syncd.store.schema.tables import (
    changes,
    desired_groups,
    facts,
    failures,
    privilege_holders,
    privilege_places,
    privilege_targets,
    privileges,
    source_objects,
    target_groups,
    target_principals,
)

_P, _T = privileges.c, privilege_targets.c
_ONE = _P.group_key == bindparam("group"), _P.target_key == bindparam("target")
_JOINED = privileges.join(privilege_targets, _T.key == _P.target_key)
_AT = _T.place == bindparam("of")

SELECT_PLACES = select(privilege_places.c.place, privilege_places.c.state, privilege_places.c.said)
FORGET_OTHER_PLACES = tuple(
    delete(table).where(~among_bound(table.c.place, "tokens", textual=True))
    for table in (privilege_places, privilege_holders)
)
SELECT_PLACE = select(privilege_places.c.state).where(privilege_places.c.place == bindparam("of"))
SELECT_PLACE_OF = select(_T.place).where(_T.key == bindparam("target"))
SELECT_FIELDS_AT = select(_T.place, _T.fields).where(among_bound(_T.place, "tokens", textual=True)).order_by(_T.key)
SELECT_TARGETS = select(_T.token, _T.key).where(among_bound(_T.token, "tokens", textual=True))

SELECT_OWN = (
    select(_P.group_key, _P.target_key, _P.state, _P.beside, _P.shown, _T.fields)
    .select_from(_JOINED)
    .order_by(_P.group_key, _T.token)
)
SELECT_OWN_OF = SELECT_OWN.where(among_bound(_P.group_key, "groups"))
SELECT_OWN_AT = (
    select(_P.group_key, _P.target_key, _P.state, _P.beside, _P.shown, _P.written_at).select_from(_JOINED).where(_AT)
)
SELECT_BESIDE = SELECT_OWN_AT.where(_P.group_key == bindparam("group"))
UPDATE = update(privileges).where(*_ONE)
FORGET = delete(privileges).where(*_ONE)
_REFUSED = (
    _P.group_key == bindparam("group"),
    _P.target_key.in_(select(_T.key).where(_AT)),
    _P.state == "unsure",
    ~_P.shown,
)
ASK_AGAIN = (
    delete(privileges).where(*_REFUSED, _P.beside),
    update(privileges).where(*_REFUSED).values(state="sent"),
)
FORGET_TOKENS = delete(privileges).where(
    _P.group_key == bindparam("group"),
    _P.target_key.in_(select(_T.key).where(among_bound(_T.token, "tokens", textual=True))),
)
HAS_ANY = select(exists().where(_P.group_key.is_not(None)))
SELECT_TARGETS_OF_RUN = select(_T.fields).where(
    _T.key.in_(
        select(-changes.c.target_key).where(changes.c.run_id == bindparam("run"), changes.c.object == "privilege")
    )
)

_HOLDERS = privilege_holders.c
SELECT_ALL_HOLDERS = select(_HOLDERS.place, _HOLDERS.key)
SELECT_NAMES = select(target_principals.c.key, target_principals.c.bps_id).where(
    among_bound(target_principals.c.key, "keys")
)
IS_HOLDER = select(_HOLDERS.key).where(_HOLDERS.place == bindparam("of"), _HOLDERS.key == bindparam("group"))
FORGET_PLACE = (
    delete(privileges).where(_P.target_key.in_(select(_T.key).where(_AT))),
    delete(privilege_places).where(privilege_places.c.place == bindparam("of")),
    delete(privilege_holders).where(_HOLDERS.place == bindparam("of")),
)
FORGET_HOLDERS = delete(privilege_holders).where(_HOLDERS.place == bindparam("of"))
FORGET_HOLDER = delete(privilege_holders).where(_HOLDERS.place == bindparam("of"), _HOLDERS.key == bindparam("group"))
NAMES_GROUPS = select(
    or_(
        exists().where(facts.c.name == PRIVILEGES_TELLING),
        exists().where(_P.shown),
        exists().where(target_groups.c.key == _HOLDERS.key),
    )
)
"""Whether a reading has ever named a group: the document speaks of BPS ids, and not whose."""
SELECT_GROUPS_THERE = select(target_groups.c.key).where(among_bound(target_groups.c.key, "keys"))
NAMES_A_GROUP = select(exists().where(among_bound(target_groups.c.key, "keys")))

SELECT_GROUPS_OF = (
    select(desired_groups.c.key.label("source"), desired_groups.c.principal_key.label("principal"))
    .where(among_bound(desired_groups.c.key, "sources"), desired_groups.c.state == "wanted")
    .union_all(
        select(target_groups.c.source_key, target_groups.c.key).where(
            among_bound(target_groups.c.source_key, "sources"), target_groups.c.origin.is_not(None)
        )
    )
)
IS_READY = select(
    exists().where(
        target_groups.c.key == bindparam("group"),
        target_groups.c.origin.is_not(None),
        target_groups.c.status == "Synchronized",
    )
)
WOULD_STAY = select(
    exists()
    .where(_P.group_key == bindparam("group"), _T.key == _P.target_key)
    .where(_P.state.in_((*OURS, LEFT)))
    .where(~exists().where(privilege_places.c.place == _T.place, privilege_places.c.state == "gone"))
)
"""Whether something may be there by our doing, at a place that is: of what no rule takes, only a person knows.

The portal may keep it for the next group with that BPS id.
"""
_OTHER = privilege_targets.alias("other")
HAS_UNGIVEN = select(
    exists()
    .where(
        changes.c.run_id == bindparam("run"),
        changes.c.object == "privilege",
        changes.c.action == "grant",
        changes.c.record_key == bindparam("group"),
        changes.c.status.in_(("planned", "held", "deferred", "failed", "started")),
    )
    .where(_OTHER.c.key == -changes.c.target_key, _T.key == bindparam("target"), _OTHER.c.place == _T.place)
)
SELECT_FAILING = (
    select(failures.c.record_key, failures.c.error, _T.token)
    .join(privilege_targets, _T.key == -failures.c.target_key)
    .where(failures.c.object == "privilege")
)
_HEIR, _OLD = target_groups.alias("heir"), target_groups.alias("old")
HAS_ARRIVED = select(
    exists()
    .where(_OLD.c.key == bindparam("group"), _HEIR.c.source_key == _OLD.c.source_key, _HEIR.c.key != _OLD.c.key)
    .where(_P.group_key == _HEIR.c.key, _P.target_key == bindparam("target"))
    .where(_P.state.in_(("granted", "unsure", *GONE)))  # what somebody took since had arrived
)
SELECT_TAKEN = (
    select(target_principals.c.bps_id, target_groups.c.source_key, source_objects.c.id, _T.fields)
    .select_from(
        _JOINED.join(target_principals, target_principals.c.key == _P.group_key)
        .join(target_groups, target_groups.c.key == _P.group_key)
        .outerjoin(source_objects, source_objects.c.key == target_groups.c.source_key)
    )
    .where(_P.state == "taken", target_groups.c.origin.is_not(None))
    .order_by(target_principals.c.bps_fold, _T.token)
)
_THERE = exists().where(
    _P.group_key == changes.c.record_key, -_P.target_key == changes.c.target_key, _P.state.in_(("granted", "unsure"))
)
_MAY_BE = exists().where(
    _P.group_key == changes.c.record_key, -_P.target_key == changes.c.target_key, _P.state.in_(OURS)
)
SELECT_OVERTAKEN = (
    select(changes.c.seq)
    .where(
        changes.c.run_id == bindparam("run"),
        changes.c.object == "privilege",
        or_(and_(changes.c.action == "grant", _THERE), and_(changes.c.action == "revoke", ~_MAY_BE)),
    )
    .order_by(changes.c.seq)
    .limit(bindparam("most"))
)
COUNT_DOUBTED = select(func.count()).where(_P.state.in_(OURS), ~_P.beside)
# Sent: what rules give is given once more, for it may be gone; beside: nothing is taken, for it may be by hand.
DOUBT_ALL = update(privileges).where(_P.state.in_(OURS)).values(state="sent", beside=True)
FORGET_READINGS = tuple(delete(table) for table in (privilege_places, privilege_holders))
LET_GO_ALL = update(privileges).where(_P.state == "taken").values(state="let go")
