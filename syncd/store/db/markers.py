"""Single facts about the store that are neither configuration nor rows of anything else."""

from __future__ import annotations

from sqlalchemy import Connection, bindparam, delete, select

from syncd.store.db.database import Database
from syncd.store.db.parameters import among_bound
from syncd.store.db.sql import upsert
from syncd.store.schema.tables import facts

FULL_PUSH_DUE = "full_push_due"
"""Set from the start of a full pull until a push over everybody has finished."""
PLANNING = "planning:"
"""With a run's number behind it: its plan is being made, or the run ended before it was complete."""
INVENTORY_READ = "inventory_read"
"""Set once the portal was read completely: before that nothing is known about what it has."""
RULES = "rules"
"""Fingerprint of scope, mapping and policy at the last push over everybody."""

RULES_ASKED = "rules_asked"
"""For which moment rules over ``now`` were last asked about everybody (ISO 8601)."""

TARGET = "target"
TENANT = "tenant"
TENANT_NAMES = "tenant_names"
"""The address of the portal that the inventory describes."""
SCOPE_GROUPS = "scope_groups"
"""The groups that scope.include_groups and scope.exclude_groups meant when people were last decided about."""

GROUP_NAMES = "group_names"
"""JSON: which groups the names in the settings mean, and who else bears such a name."""

SUBSTITUTIONS_REFUSED = "substitutions_refused"
"""When the portal last said that we may not arrange substitutions; unset when it let us."""
OWNERS = "owners"
"""``reading`` from the first full read that tells the owners of groups, ``known`` once one was closed. Not set: nothing
is stored about owners, and nothing must be concluded from that."""
LICENCES_READ = "licences_read"
"""Set once everybody's licences were read: "yes", or "perpetual" where the portal assigns licences by itself."""
PRIVILEGES_REFUSED = "privileges_refused"
"""When the portal last said that we may not see to privileges; unset when it let us."""
PRIVILEGES_TELLING = "privileges_telling"
"""Set by the first reading of a place that names a group: from then on one that is missing is not there."""
PRIVILEGE_STORE = "privilege_store"
"""What this store was known by when a run last looked after privileges; see `syncd.store.db.witness`."""
PRIVILEGE_SURVEY = "privilege_survey"
"""JSON: who had something at the portal's applications and processes when a person last had them read."""
PRIVILEGE_RULES = "privilege_rules"
"""JSON: what the names in the rules about privileges mean: groups by key, places and companies by guid."""
LICENCE_SEATS = "licence_seats"
"""JSON: the seats of each type, and how many of them the list of licences does not show."""

MANAGER_MANNER = "manager_manner"
"""How the portal wants the managers of new accounts, once a creation has shown it."""

MEMBERS_COUNTED = "members_counted"
"""When a sample of groups was last counted, or all memberships were read (ISO 8601)."""

MEMBERS_POSITION = "members_position"
"""The key of the last group of that sample; the next one begins behind it."""

EMPTIED = "emptied:"
"""With the stream's name behind it: the stream has no active object any more, of users none who is not disabled.
``read``: a full read showed none, although some are stored; ``told``: each is known to be deleted or disabled."""

SELECTED = "selected:"
"""With the stream's name behind it: the attributes that its objects were last read with, blanks in between."""

UNPROVEN = "unproven:"
"""With the stream's name behind it: why its last full read had no proof; unset by a full read that has one."""

UNCOUNTED = "uncounted:"
"""The same for a full read that nothing contradicts, and that has no proof only because no count could be had."""

UNBELIEVED = "unbelieved:"
"""The same for a full read that showed what may not be believed: nothing may be taken away because of it."""

UNNAMED = "unnamed:"
"""With the stream's name behind it: how many entries without an id the full read under way has come upon."""

EMPTY_BELIEVED = "empty_believed:"
"""With the stream's name behind it: a person said that this stream is truly empty; what was held for it goes on."""

PORTAL_SEEN = "portal_seen"
"""When a full reading last found the portal as it should be (ISO 8601): see `syncd.plan.restored`."""

PORTAL_REPLAYED = "portal_replayed"
"""When what a portal had lost was last written again, or let go: what was written before says nothing any more."""

PORTAL_BACK = "portal_back"
"""JSON: since when the portal lacks what was written; set by the reading that found it, until a reading does not."""

HELD_WAVE = "held_wave"
"""JSON: the run that held the rest of a plan in waves, under which rules, and why; unset once nothing of it waits."""
OPEN_WAVE = "open_wave"
"""JSON: the run and the wave that was begun, of how many, as long as it has not been read back."""

APPLIED = "applied:"
"""With the checksum of a plan file behind it: the run that began to apply that file."""


ALLOWANCES = "allowances"
"""JSON: how many records of each kind of removal may go in 24 hours, as far as the guard had to look."""

TOLD = "told:"
"""With a subject behind it (``run``, say, and ``mail:run`` for the same by mail): what was last told about it."""


OWN_APPLICATION = "own_application"
"""JSON: when the client secret of our application ends, by its own record in the tenant, and when that was read."""

HISTORY_SINCE = "history_since"
"""Since when it is noted who came and went where (ISO 8601): set by the migration that made room for it."""

SELECT_MARKER = select(facts.c.value).where(facts.c.name == bindparam("marker"))
"""The value of the fact ``:marker``."""
_LOAD_MARKERS = select(facts.c.name, facts.c.value).where(among_bound(facts.c.name, "markers", textual=True))
_DELETE_MARKER = delete(facts).where(facts.c.name == bindparam("marker"))


def load_markers(database: Database, *names: str) -> dict[str, str]:
    """Return those of the facts that are set, in one question."""
    return {row[0]: row[1] for row in database.load_rows(_LOAD_MARKERS, {"markers": names})}


def load_marker(connection: Connection, name: str) -> str | None:
    """Return a fact's value, None when it is not set, within a transaction."""
    return connection.scalar(SELECT_MARKER, {"marker": name})


def save_marker(connection: Connection, name: str, value: str | None) -> None:
    """Set a fact, or remove it (None)."""
    if value is None:
        connection.execute(_DELETE_MARKER, {"marker": name})
    else:
        upsert(connection, facts, [{"name": name, "value": value}])
