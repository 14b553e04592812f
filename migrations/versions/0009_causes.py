"""Causes beside the sentences: what the program needs to know of a reason is a value, and no sentence is compared.

What earlier releases wrote is recognised by the sentences that they wrote, for the last time.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

_COLUMNS = (
    ("changes", "cause"),
    ("changes", "error_cause"),
    ("failures", "cause"),
    ("desired_users", "cause"),
    ("desired_groups", "cause"),
)
_DELETED = "its account is deleted, and the portal would keep the seat"
_CHANGES = (
    ("reason = 'renamed' OR reason LIKE 'renamed, and the grace has ended%'", "renamed"),
    ("reason = 'disabled' OR reason LIKE 'disabled, and the grace has ended%'", "disabled"),
    ("reason = 'deleted' OR reason LIKE 'deleted, and the grace has ended%'", "deleted"),
    ("reason = 'out_of_scope' OR reason LIKE 'out of scope, and the grace has ended%'", "out_of_scope"),
    ("reason = 'the group is renamed'", "group_renamed"),
    ("reason LIKE 'the group is %' AND reason <> 'the group is renamed'", "group_leaves"),
    ("reason = 'completes the creation'", "completes_creation"),
    ("reason = 'the BPS id now belongs to another source object'", "handed_over"),
    ("reason = 'the portal had this record before us'", "portal_had_it"),
    ("reason IN ('no longer a member', 'no longer an owner')", "left"),
    ("reason = 'put in by hand'", "put_in_by_hand"),
    ("reason = 'removed by hand'", "removed_by_hand"),
    ("reason = 'taken by hand'", "taken_by_hand"),
    ("reason = 'changed by hand'", "changed_by_hand"),
    ("reason = 'stands in for a leaver'", "stands_in"),
    ("object = 'substitution' AND action <> 'create' AND reason LIKE '%substitut%'", "substitution_over"),
    ("reason LIKE 'a member of %' AND object = 'licence'", "rule_gives"),
    ("reason = 'no licence rule covers this person any more'", "no_rule"),
    (f"reason = '{_DELETED}'", "account_deleted"),
    (f"reason = 'given by hand; {_DELETED}'", "hand_deleted"),
    ("reason = 'given by hand to the account before the rename'", "moved"),
    ("reason = 'undone: given by hand to the account before it was deleted'", "given_again"),
    ("reason = 'undone'", "undone"),
    ("reason = 'undone: the record is given back'", "gives_back"),
)
_STOPS = (
    ("error = 'a later run found out how it ended'", "settled_later"),
    ("error = 'rejected'", "rejected"),
    ("error = 'rejected before, and its object has not changed since'", "rejected_before"),
    ("error = 'its adoption was rejected: hands off'", "adoption_rejected"),
    ("error IN ('its account waits for adoption', 'its group waits for adoption')", "adoption_held"),
    ("error = 'memberships or ownerships that would go with it are held'", "places_held"),
    ("error LIKE '%guard.max_%'", "guard"),
)
_FAILURES = (
    ("error LIKE '%in use by a record that the API does not show%'", "foreign_record"),
    ("error LIKE '%a record that the API does not let us change%'", "foreign_record"),
)
_DESIRED = (
    ("state = 'disabled'", "disabled"),
    ("state = 'deleted'", "deleted"),
    ("state = 'out_of_scope'", "out_of_scope"),
    ("state = 'out_of_scope' AND reason LIKE 'a guest, and guests are skipped%'", "guest"),
    ("state = 'out_of_scope' AND reason LIKE 'not in the groups of the scope%'", "not_in_groups"),
    ("state = 'protected'", "protected"),
    ("state = 'collision'", "user_collision"),
    ("state = 'collision' AND reason = 'another person has the record of this BPS id'", "user_collision_lost"),
    ("state = 'skipped'", "rule_failed"),
    ("state = 'skipped' AND reason LIKE 'the tenant has told only part of this %'", "partly_known"),
    ("state = 'skipped' AND reason LIKE 'no usable BPS id from %'", "no_bps_id"),
    ("state = 'skipped' AND (reason LIKE 'no name: %' OR reason LIKE 'no email: %')", "no_value"),
    ("state = 'skipped' AND reason = 'another group maps to the same BPS id'", "group_collision"),
)
"""In this order: what comes later is more precise."""


def upgrade() -> None:
    """Add the columns, and fill those on which something depends."""
    for table, column in _COLUMNS:
        with op.batch_alter_table(table) as batch:
            batch.add_column(sa.Column(column, sa.Text(), nullable=False, server_default=""))
    for table, column, known in (
        ("changes", "cause", _CHANGES),
        ("changes", "error_cause", _STOPS),
        ("failures", "cause", _FAILURES),
        ("desired_users", "cause", _DESIRED),
        ("desired_groups", "cause", _DESIRED),
    ):
        for condition, cause in known:
            op.execute(sa.text(f"UPDATE {table} SET {column} = '{cause}' WHERE {condition}"))  # noqa: S608 - ours alone
