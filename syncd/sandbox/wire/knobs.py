"""Switches of the imitation tenant and portal: everything that the real ones may do in more than one way.

The objects may be changed while the sandbox runs (in-process, or through the control endpoint); the next request
sees the new value. Nothing here acts.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import UnionType
from typing import Literal, get_args, get_origin, get_type_hints

from syncd.errors import ConfigError

ExpiryForm = Literal["unsupported_query", "sync_state_not_found", "gone", "never"]
CreationManager = Literal["take", "refuse", "synchronized", "drop"]
Clearing = Literal["both", "empty", "null", "ignored", "refused"]
Installation = Literal["standalone", "saas", "sharepoint"]
Spelling = Literal["as sent", "trimmed", "lower", "cut", "composed", "decomposed"]
TimeStated = Literal["stated", "absent", "aged"]
FrontPage = Literal["entra", "other redirect", "other tenant", "other provider", "page"]
PrivilegeRights = Literal["scope", "administrator to write", "administrator"]
Version = Literal["2024R1", "2025R1", "2025R2", "2026R1"]


@dataclass(slots=True)
class TenantKnobs:
    """How the imitation Entra tenant behaves. Times are seconds, sizes are counts."""

    # delta engine
    page_objects: int = 200
    page_links: int = 500
    shuffle: bool = False  # objects of an initial round in random order
    duplicates: float = 0.0  # share of objects that an initial round names twice
    replay_previous_round: bool = False  # a round repeats the changes of the round before
    initial_removed_objects: bool = False  # deleted objects appear as @removed in an initial round
    initial_removed_links: bool = False  # former members appear as @removed in an initial round
    empty_page_every: int = 0  # each n-th page is empty and has a nextLink; 0: none
    endless_rounds: bool = False  # no round ever reaches its delta link
    repeat_relationships: bool = False  # an incremental user entry repeats the unchanged manager
    manager_names_old: bool = True  # a changed manager comes with a @removed entry of the old one
    manager_removed_last: bool = False  # ... which stands behind the new one
    restore_reports_links: bool = False  # a restored user appears in members@delta again
    purge_links_after: float | None = 0.0  # when links of a purged object are reported; None: never
    lose_links: bool = False  # memberships that begin or end meanwhile are never reported by delta
    visibility_delay: float = 0.0  # how long a change stays invisible to delta
    same_delta_token: bool = False  # a round without changes returns the delta link it was asked with
    delta_lifetime: float = 7 * 86_400.0
    initial_round_lifetime: float = 30 * 86_400.0
    expiry_form: ExpiryForm = "unsupported_query"
    corrupt_token_code: str = "Request_BadRequest"  # noqa: S105 - an error code
    # lists
    page_token_lifetime: float = 300.0
    list_page_objects: int = 0  # the server's cap on $top; 0: none but Graph's own
    page_drift: bool = False  # list pages are offsets into the living list, so changes shift them
    members_omit_service_principals: bool = True  # known issue of v1.0
    count_offset: int = 0  # what $count, which reads an index, says beyond the truth
    count_status: int = 0  # the status that $count is refused with, in the path and in the query; 0: it answers
    hidden_membership: Literal["empty", "forbidden"] = "empty"  # HiddenMembership groups without Member.Read.Hidden
    subtypes_stated: bool = True  # an agent's account says that it is an agentUser; False: it passes for a user
    subtypes_listed: bool = True  # the list of users shows agents' accounts
    subtypes_counted: bool = True  # the count of users counts them
    select_relations: Literal["refused", "ignored"] = "refused"  # a relationship in the $select of a list or object
    unpermitted_property: Literal["empty", "forbidden"] = "empty"  # without the permission that a property needs
    manager_levels: Literal["free", "documented"] = "free"  # documented: $levels of single users only, with the header
    casts_need_eventual: bool = False  # as the pages of members and memberOf say
    # transport and tokens
    more_permissions: str = ""  # application permissions beside the usual ones, with commas; a new token carries them
    secret_days: float = 540.0  # the application's client secret ends so long after the start, by that record
    secret_hint: bool = True  # that record shows the first three characters of a secret
    latency: float = 0.0  # how long every answer is held back
    clock_ahead: float = 0.0  # how far this side's clock is ahead; less than nothing: behind
    date_header: TimeStated = "stated"  # aged: as a cache hands it on that kept it for a day
    gzip: bool = False
    token_lifetime_min: int = 3600
    token_lifetime_max: int = 5400
    resource_units_per_10s: int = 0  # 0: no throttling
    retry_after_form: Literal["integer", "fraction", "date", "empty", "absent"] = "integer"
    secret_expired: bool = False
    application_disabled: bool = False


@dataclass(slots=True)
class PortalKnobs:
    """How the imitation WEBCON BPS portal behaves. Times are seconds, sizes are counts."""

    sync_delay_min: float = 2.0  # from a write until the record says Synchronized
    sync_delay_max: float = 2.0
    pending_visible: bool = True  # False: GET answers 404 until a new record is synchronized
    builtin_visible: bool = False  # records of the built-in sync are listed
    applications_visible: bool = True  # API applications are listed among the users
    duplicate_group_status: Literal[405, 409] = 405
    remove_non_member: Literal["ok", "conflict"] = "ok"
    unknown_property: Literal["refuse", "ignore"] = "refuse"
    unknown_manager: Literal["refuse", "conflict", "accept"] = "refuse"
    creation_manager: CreationManager = "take"  # a manager in a creation; synchronized: only one that is
    clearing: Clearing = "both"  # what empties phone, job title and manager: "", null, either, none; or 400
    case_matters: bool = False  # BPS ids that differ in case only are two
    deletion_clears_places: bool = True  # False: a deleted user stays in the groups, and is shown there
    max_length: int = 255  # of any value; 0: no limit
    spelling: Spelling = "as sent"  # what becomes of a value that is written
    links_lost: bool = False  # adding members or owners is answered as done, and is not
    max_page_size: int = 0  # the server's cap on size; 0: none
    workers: int = 0  # so many requests are worked on at once, the others wait; 0: all
    service_time: float = 0.0  # how long each is worked on
    substitution_answer: Literal["number", "nothing"] = "number"  # what a creation is answered with
    substitution_first_page: int = 0  # the document says 1, WEBCON's own importer starts at 0
    tombstone: float = 0.0  # how long a deleted BPS id cannot be created again
    bad_secret_status: Literal[400, 401] = 401
    token_names_lifetime: bool = True  # the token answer carries expires_in
    token_lifetime: int = 3600
    clock_ahead: float = 0.0  # how far this side's clock is ahead; less than nothing: behind
    date_header: TimeStated = "stated"  # aged: as a cache hands it on that kept it for a day
    installation: Installation = "standalone"
    version: Version = "2026R1"
    perpetual_licences: bool = False  # licence endpoints answer UnsupportedLicensingType
    licence_types: str = "User, PowerUser, DesignerDeskUser, SingleSolutionUser, ExternalUser"  # what is offered
    seats: int = 100  # of each licence type
    no_seat_status: Literal[402, 409] = 409
    licence_all_or_nothing: bool = True  # a refused assignment changes nothing; False: what came before has happened
    licence_removes_first: bool = True  # within one request
    licence_repeated: Literal["ok", "conflict"] = "ok"  # assigning what is held, removing what is not
    licence_processes: Literal["add", "replace"] = "add"  # what assigning a single solution licence again does
    licence_exclusive: bool = False  # another type takes the place of the one before
    licence_settings_shown: bool = True
    licence_pending: Literal["refuse", "accept"] = "refuse"  # an account that is still being synchronized
    removed_holders_listed: bool = True  # licences of deleted accounts are listed
    privilege_repeated: Literal["ok", "conflict", "any"] = "ok"  # giving what is there; any: or beside anything else
    privilege_missing: Literal["ok", "conflict"] = "ok"  # taking what is not there
    privilege_exclusive: bool = False  # another level takes the place of the one before
    privilege_pending: Literal["refuse", "accept"] = "refuse"  # a group that is still being synchronized
    privileges_list_groups: bool = True  # who has something at a place names groups, too
    deletion_clears_privileges: bool = True  # False: those of a deleted group stay, and are shown
    privilege_delay: float = 0.0  # how long after its request a change of privileges takes effect, answered or not
    privileges_shown_after: float = 0.0  # how long readings go on showing who had something before
    privilege_rights: PrivilegeRights = "scope"  # what it takes beside the scope: administrator of the application
    privilege_write_scope_reads: bool = True  # App.Metadata.ReadWrite lets read as well
    privileges_for_groups: bool = True  # False: only people can be given something; a group is unknown there
    places_visible: Literal["all", "privileged", "none"] = "all"  # applications that an API application sees
    unknown_database_status: Literal[400, 404] = 400
    front_page: FrontPage = "entra"  # where an anonymous browser is sent: the sign-in, a wrong one, or nowhere


def turn_knobs(knobs: TenantKnobs | PortalKnobs, changes: Mapping[str, object]) -> None:
    """Set the named knobs, all or none. Raises ConfigError naming every unknown knob and every unusable value."""
    known = get_type_hints(type(knobs))
    problems = [f"{name}: there is no such knob (known: {', '.join(sorted(known))})" for name in changes.keys() - known]
    problems += [
        f"{name}: {changes[name]!r} is not {_describe(known[name])}"
        for name in sorted(changes.keys() & known.keys())
        if not _fits(known[name], changes[name])
    ]
    problems += [
        f"{name}: {wanted!r} is less than nothing"
        for name, wanted in sorted(changes.items())
        if isinstance(wanted, int | float) and wanted < 0 and name not in ("count_offset", "clock_ahead")
    ]
    if problems:
        raise ConfigError(problems)
    for name, wanted in changes.items():
        setattr(knobs, name, wanted)


def _fits(expected: object, wanted: object) -> bool:
    if get_origin(expected) is Literal:
        return any(type(wanted) is type(choice) and wanted == choice for choice in get_args(expected))
    if isinstance(expected, UnionType):
        return any(_fits(each, wanted) for each in get_args(expected))
    if expected is float:
        return isinstance(wanted, int | float) and not isinstance(wanted, bool)
    return type(wanted) is expected


def _describe(expected: object) -> str:
    """Return in words what a knob takes."""
    if get_origin(expected) is Literal:
        return f"one of {', '.join(map(str, get_args(expected)))}"
    if isinstance(expected, UnionType):
        return " or ".join(_describe(each) for each in get_args(expected))
    words = {bool: "true or false", int: "a whole number", float: "a number", str: "a text", type(None): "null"}
    return next((word for kind, word in words.items() if kind is expected), str(expected))
