"""Rules and options for tests: the defaults of the configuration, and what a test changes of them.

No default stands here a second time: each is made of the settings, as the program makes it.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Any

from syncd.bootstrap import rules as made
from syncd.bootstrap import sides
from syncd.bps.options import BpsOptions
from syncd.config import Settings
from syncd.graph.options import GraphOptions
from syncd.plan.rules import FieldRule, GuardLimits, PolicyRules, Rules, ScopeRules
from syncd.sync.apply.apply import ApplyOptions


@cache
def make_default_settings() -> Settings:
    """Return settings in which nothing is said but what must be; no file and no variable is looked at."""
    graph = {"tenant_id": "tenant.example", "client_id": "client", "client_secret": "secret"}
    bps = {"portal_url": "https://portal.example/bps", "client_id": "client", "client_secret": "secret"}
    return Settings.model_validate({"graph_side": graph, "bps_side": bps})


@cache
def make_default_rules() -> Rules:
    """Return the rules of somebody who changes nothing."""
    return made.make_rules(make_default_settings())


def make_policy(**changes: Any) -> PolicyRules:
    """Return the default policy with changes."""
    return replace(make_default_rules().policy, **changes)


def make_limits(**changes: Any) -> GuardLimits:
    """Return the default limits of the guard with changes."""
    return replace(make_default_rules().limits, **changes)


def make_scope(**changes: Any) -> ScopeRules:
    """Return the default scope with changes."""
    return replace(make_default_rules().scope, **changes)


def make_rules(**changes: Any) -> Rules:
    """Return rules for the fakes' people and groups, with changes by section: scope=…, policy=…, limits=…, mapping=….

    Beside the mapping, three limits differ from the default: of so few people a percentage holds everything.
    """
    default = make_default_rules()
    mapping = replace(
        default.mapping,
        user_bps_id=FieldRule(("userPrincipalName",)),
        group_bps_id=FieldRule(("mailNickname", "displayName")),
        user_fields={
            "name": FieldRule(("displayName",)),
            "email": FieldRule(("mail", "userPrincipalName")),
            "phone": FieldRule(("mobilePhone",)),
            "job_title": FieldRule(("jobTitle",)),
        },
        group_fields={"name": FieldRule(("displayName",)), "email": FieldRule(("mail",))},
    )
    limits = make_limits(max_removal_percent=None, max_daily_removal_percent=None, max_update_percent=None)
    changed: dict[str, Any] = {"mapping": mapping, "limits": limits} | changes
    return replace(default, **changed)


def make_apply_options(**changes: Any) -> ApplyOptions:
    """Return how to apply, with changes."""
    return replace(sides.make_apply_options(make_default_settings()), **changes)


def make_bps_options(**changes: Any) -> BpsOptions:
    """Return how to reach a portal, with changes."""
    return replace(sides.make_bps_options(make_default_settings()), **changes)


def make_graph_options(**changes: Any) -> GraphOptions:
    """Return how to reach a tenant, with changes; no attributes are asked for but those that syncd itself needs."""
    options = sides.make_graph_options(make_default_settings(), make_default_rules())
    return replace(options, **{"user_attributes": (), "group_attributes": ()} | changes)
