"""The settings of a drill: this configuration, with the sandbox in place of everything that is real.

Both sides, their credentials and authorities, proxies, the store and the hook are replaced as whole tables, so that no
key of a real one can be left over. Scope, mapping, policy, guard, licences and privileges stay what they are.
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from syncd.config import ExpressionRule, Settings, format_duration
from syncd.config.base import Surroundings
from syncd.config.secret import Secret
from syncd.config.sections import BpsSettings, GraphSettings, HealthSettings, LogSettings, NotifySettings, StoreSettings
from syncd.config.settings import Missing
from syncd.sandbox.server import Sandbox

_NEW_TITLE = '"Title by a new rule, the same for everybody"'
_OURS = ("concurrency", "members_per_request")


def make_drill_settings(settings: Settings, sandbox: Sandbox, store: Path, *, protect: tuple[str, ...]) -> Settings:
    """Return the settings that play this configuration against the sandbox, with a store of its own.

    ``protect`` takes the place of the protected BPS ids: those of the copied people. Quiet hours are left out, since a
    play must not hang on the time of day at which it is watched.
    """
    surroundings = Surroundings(sandbox.path, lambda _text, _entity, _purpose: None)
    graph = GraphSettings.model_validate(
        {
            "tenant_id": sandbox.registration.tenant_id,
            "client_id": sandbox.client_id,
            "client_secret": sandbox.client_secret,
            "authority_url": sandbox.login_url,
            "base_url": sandbox.graph_url,
            "ca_file": str(sandbox.ca_file.absolute()),
        },
        context=surroundings,
    )
    kept = {} if isinstance(settings.bps_side, Missing) else {name: getattr(settings.bps, name) for name in _OURS}
    bps = BpsSettings.model_validate(
        {
            "portal_url": sandbox.portal_url,
            "client_id": sandbox.portal_client_id,
            "client_secret": sandbox.portal_client_secret,
            "ca_file": str(sandbox.ca_file.absolute()),
            **kept,
        },
        context=surroundings,
    )
    return settings.model_copy(
        update={
            "graph_side": graph,
            "bps_side": bps,
            "store": StoreSettings.model_construct(url=Secret(f"sqlite:///{store}")),
            "scope": settings.scope.model_copy(update={"protect": protect}),
            "guard": settings.guard.model_copy(update={"quiet_hours": None}),
            "health": HealthSettings(),
            "notify": NotifySettings(),
            "log": LogSettings(),
            "source": {},
            "file": None,
        }
    )


def make_founding_settings(settings: Settings) -> Settings:
    """Return the same settings for the first push into an empty portal, which no guard has anything to compare with."""
    return settings.model_copy(
        update={
            "guard": settings.guard.model_copy(update={"max_creation_percent": None, "max_adoptions": None}),
            "policy": settings.policy.model_copy(update={"mode": "sync"}),
        }
    )


def make_rollout_settings(settings: Settings, *, new_rules: bool) -> Settings:
    """Return the same settings for a rollout: without the limits that would hold it as a whole, and drift is reverted.

    ``new_rules``: everybody's title is made by another rule, of a length that a portal which cuts does not keep.
    """
    lifted = dict.fromkeys(("max_creation_percent", "max_adoptions", "max_update_percent"))
    user = settings.mapping.user.model_copy(update={"job_title": ExpressionRule(_NEW_TITLE)} if new_rules else {})
    return settings.model_copy(
        update={
            "guard": settings.guard.model_copy(update=lifted),
            "policy": settings.policy.model_copy(update={"drift": "revert"}),
            "mapping": settings.mapping.model_copy(update={"user": user}),
        }
    )


def with_tenant(settings: Settings, tenant_id: str) -> Settings:
    """Return the same settings for another tenant."""
    return settings.model_copy(update={"graph_side": settings.graph.model_copy(update={"tenant_id": tenant_id})})


def with_protected(settings: Settings, bps_ids: Collection[str]) -> Settings:
    """Return the same settings with these accounts on the protect list as well."""
    protect = (*settings.scope.protect, *sorted(bps_ids))
    return settings.model_copy(update={"scope": settings.scope.model_copy(update={"protect": protect})})


def list_left_out(settings: Settings) -> list[str]:
    """Return a sentence about each setting that a drill does without, or that leaves nothing to drill."""
    notes = {
        "Left out: guard.quiet_hours, so that nothing hangs on the time of day.": settings.guard.quiet_hours,
        "Without policy.waves a first push, and new rules, reach everybody at once.": not settings.policy.waves,
    }
    return [note for note, told in notes.items() if told]


def list_weak(settings: Settings) -> list[str]:
    """Return which settings protect less than their defaults do, as they stand in a file."""
    guard, policy = settings.guard, settings.policy
    default = type(guard)()
    found = []
    for name in _LIMITS:
        value, usual = getattr(guard, name), getattr(default, name)
        if usual is not None and (value is None or value > usual):
            found.append(f"guard.{name} = {'false' if value is None else value}")
    if policy.grace < type(policy)().grace:
        found += [
            f'policy.{name} = "delete" with grace = "{format_duration(policy.grace)}"'
            for name in ("disabled_users", "out_of_scope", "deleted_users", "deleted_groups")
            if getattr(policy, name) == "delete"
        ]
    return found


_LIMITS = (
    "max_removals",
    "max_removal_percent",
    "min_population",
    "max_adoptions",
    "max_update_percent",
    "max_daily_removal_percent",
    "max_creation_percent",
    "max_handovers",
)
