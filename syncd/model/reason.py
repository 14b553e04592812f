"""Why something is planned, left out or failed: a cause for the program, beside a sentence for people.

The program compares causes and never sentences, which lie in the store and may be reworded in any release.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Cause(StrEnum):
    """The closed list of causes. The values lie in the store: none is renamed, and none is given another meaning."""

    NONE = ""
    """Nothing more is to be known than the change itself; or the words are those of one of the two sides."""

    # Decisions about a source object.
    DISABLED = "disabled"
    DELETED = "deleted"
    OUT_OF_SCOPE = "out_of_scope"
    GUEST = "guest"
    AGENT = "agent"
    SUBTYPE = "subtype"
    """Of a type of user that nobody knew when this was written, and left out: what is there stays as it is."""
    NOT_IN_GROUPS = "not_in_groups"
    PARTLY_KNOWN = "partly_known"
    UNREADABLE = "unreadable"
    RULE_FAILED = "rule_failed"
    NO_BPS_ID = "no_bps_id"
    NO_VALUE = "no_value"
    PROTECTED = "protected"
    USER_COLLISION = "user_collision"
    USER_COLLISION_LOST = "user_collision_lost"
    GROUP_COLLISION = "group_collision"
    HANDOVER_WAITS = "handover_waits"
    HANDOVER_REJECTED = "handover_rejected"
    HANDOVER_NOT_NOW = "handover_not_now"

    # Why a change is planned.
    RENAMED = "renamed"
    """Its person has, or is to have, another account: creation of the new one, and all that the old one gives up."""
    GROUP_RENAMED = "group_renamed"
    GROUP_LEAVES = "group_leaves"
    COMPLETES_CREATION = "completes_creation"
    """Sets the first manager of an account of ours. It rewrites nothing, so that no guard counts it; otherwise a first
    sync that was cut short between accounts and managers would be held."""
    HANDED_OVER = "handed_over"
    """The record passes to another source object, and nothing proves that it is the same."""
    SAME_BY_PROOF = "same_by_proof"
    """The same with a proof."""
    GROUP_REMADE = "group_remade"
    """A group that was made anew keeps the record of the one before, whatever its own mapping says."""
    SWAPPED = "swapped"
    AFTER_HANDOVER = "after_handover"
    """Sets the manager of the new owner of an account: it goes back with the account."""
    MANAGER_GONE = "manager_gone"
    INHERITED = "inherited"
    """A licence that was given by hand to the former owner of an account, and to nobody else."""
    PORTAL_HAD_IT = "portal_had_it"
    RETURNS = "returns"
    """It brings back a state that our own outcomes of the last days hold, so that no guard counts it."""
    RESPELLED = "respelled"
    """It writes once more what the portal shows in a spelling of its own, so that no guard counts it."""
    LEFT = "left"
    PUT_IN_BY_HAND = "put_in_by_hand"
    UNKNOWN_MEMBER = "unknown_member"
    """Of a group that the portal had before us: nobody knows who put in whom the tenant does not know."""
    REMOVED_BY_HAND = "removed_by_hand"
    TAKEN_BY_HAND = "taken_by_hand"
    CHANGED_BY_HAND = "changed_by_hand"
    UNWANTED = "unwanted"
    """Nobody wants the record any more, and nothing more is known of its source object."""
    STANDS_IN = "stands_in"
    SUBSTITUTION_OVER = "substitution_over"
    RULE_GIVES = "rule_gives"
    RULE_SETTINGS = "rule_settings"
    RULE_GIVES_OTHER = "rule_gives_other"
    NO_RULE = "no_rule"
    PRIVILEGE_GIVEN = "privilege_given"
    PRIVILEGE_UNSETTLED = "privilege_unsettled"
    PRIVILEGE_OVER = "privilege_over"
    PRIVILEGE_SWAPPED = "privilege_swapped"
    """The rules give something else at the same place instead: it goes once that is given."""
    ACCOUNT_DELETED = "account_deleted"
    """Every licence of a person is revoked, only together with the deletion of the account."""
    HAND_DELETED = "hand_deleted"
    """The same for a licence that was given by hand: should the account be made anew, it stays manual there."""
    MOVED = "moved"
    """A grant that stays manual: given by hand to the account before the rename."""
    GIVEN_AGAIN = "given_again"
    """Another one: given by hand to an account whose deletion is undone."""
    UNDONE = "undone"
    UNDONE_STILL_WANTED = "undone_still_wanted"
    """A removal that sets something back which the tenant wants: whoever approves it was told so."""
    LOST_WITH_PORTAL = "lost_with_portal"
    """A write done once more which a portal has lost that went back in time."""
    GIVES_BACK = "gives_back"
    """An update after which the record is not ours any more: an adoption is undone."""

    # Why a planned change does not go on.
    GUARD = "guard"
    NEXT_WAVE = "next_wave"
    """Its wave has not begun: the plan goes in waves, and each is read back before the next."""
    HELD_BEFORE = "held_before"
    """An earlier run held the very same change, and nobody has decided about it yet."""
    QUIET_HOURS = "quiet_hours"
    CLOCK = "clock"
    PORTAL_BACK = "portal_back"
    """The portal went back in time: until a person has decided, only leavers lose access in it."""
    PAUSED = "paused"
    REJECTED = "rejected"
    REJECTED_BEFORE = "rejected_before"
    ADOPTION_REJECTED = "adoption_rejected"
    MOVE_REJECTED = "move_rejected"
    ADOPTION_HELD = "adoption_held"
    FOLLOWS_ADOPTION = "follows_adoption"
    """Only shown: what would be removed when an adoption that waits was approved."""
    PLACES_HELD = "places_held"
    HANDOVER_ASKED = "handover_asked"
    PLACES_STAY = "places_stay"
    NOT_DUE = "not_due"
    TIED = "tied"
    NOT_APPROVED = "not_approved"
    OVERTAKEN = "overtaken"
    """It was approved, and one of the sides has changed since it was shown."""
    PLANNED_ANEW = "planned_anew"
    APPROVED = "approved"
    SETTLED_LATER = "settled_later"
    """It was sent, the run itself never learned how it ended, and a later run found out."""
    DELETION_STOPPED = "deletion_stopped"
    LICENCES_STAY = "licences_stay"
    PRIVILEGES_STAY = "privileges_stay"
    """A group is deleted after its privileges are taken: the portal may keep them for whoever bears its BPS id next."""
    MOVES_TOGETHER = "moves_together"
    MANUAL_STAYS = "manual_stays"
    GIVEN_BY_HAND = "given_by_hand"
    NO_SEAT = "no_seat"
    KEPT_UNTIL_GIVEN = "kept_until_given"
    LICENCES_REFUSED = "licences_refused"
    LICENCES_PERPETUAL = "licences_perpetual"
    SUBSTITUTIONS_REFUSED = "substitutions_refused"
    PRIVILEGES_REFUSED = "privileges_refused"
    MAY_BE_THERE = "may_be_there"
    """The portal refused it as a conflict, which may mean that there was nothing to do."""
    PLACE_GONE = "place_gone"
    NOT_READY = "not_ready"
    NOT_OURS = "not_ours"
    LEFT_ALONE = "left_alone"
    NOT_APPLIED = "not_applied"

    # Why one failed.
    FOREIGN_RECORD = "foreign_record"
    """The BPS id belongs to a record of another maker: of the portal's own directory synchronisation (deactivated ones
    too), of an API application, or a built-in one."""
    REFUSED = "refused"
    """The portal itself refused it, for another reason. Where it refuses every change of a record that it had before
    us, that is a sign of another maker too."""
    MAYBE_DONE = "maybe_done"
    """It was sent, and no answer tells whether it took effect: what it adds or changes may be there."""
    MAYBE_TAKEN = "maybe_taken"
    """The same of a removal: what it takes away may be gone."""
    INTERCEPTED = "intercepted"
    """Something before the portal answered in its place: nothing is known of the record."""


@dataclass(frozen=True, slots=True)
class Reason:
    """A cause and its sentence. It is false when there is nothing to say."""

    cause: Cause = Cause.NONE
    text: str = ""

    def __bool__(self) -> bool:
        """Return whether there is anything to say."""
        return bool(self.text or self.cause)

    def __str__(self) -> str:
        """Return the sentence."""
        return self.text


NO_REASON = Reason()
