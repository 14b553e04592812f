"""The composition root: settings in, opened adapters and use cases out. The only place that puts the parts together."""

from __future__ import annotations

import gc
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from syncd.clock import Clock
from syncd.config import (
    AttributeRule,
    ExpressionRule,
    GraphSettings,
    LicenceRule,
    MappingRule,
    Settings,
    load_settings,
)
from syncd.messages import open_hook
from syncd.model.licence import format_process, join_processes
from syncd.plan.cel.expressions import Expression, find_problem
from syncd.plan.rules import FieldRule, GuardLimits, MappingRules, PolicyRules, Rules, ScopeRules, fold_all
from syncd.plan.rules import LicenceRule as LicenceRuleValue
from syncd.store.db.database import Database, open_database
from syncd.store.db.revision import ensure_schema
from syncd.store.directory.store import SourceStore
from syncd.store.push_store import RunStore, TargetStore
from syncd.sync.apply.apply import ApplyOptions
from syncd.sync.ports.progress import Progress
from syncd.sync.pull.pull import Pull
from syncd.sync.push import Push
from syncd.sync.runs import Runs, Sides

if TYPE_CHECKING:
    from syncd.bps.options import BpsOptions
    from syncd.graph.client import GraphClient
    from syncd.graph.credentials import Credential
    from syncd.http import QuietTimes

_TURN_SECONDS = 0.001
_COLLECT_AFTER = 10_000
"""So many more values made than forgotten let Python look for cycles among the youngest (its own number is 700)."""
BOTH_SIDES = frozenset({"graph", "bps"})


def load(
    config: Path | None,
    environ: Mapping[str, str],
    *,
    need: frozenset[str] = BOTH_SIDES,
    only: frozenset[str] | None = None,
) -> Settings:
    """Return the settings; raises ConfigError with every problem at once.

    ``need`` names the sides without which the command cannot work; what only they lack is not held against the others.
    ``only`` names the sections that must be right; the others have their defaults where something is wrong in them.
    """
    return load_settings(config, environ, check_expression=find_problem, need=need, only=only)


def list_expiring(settings: Settings, now: datetime) -> dict[str, datetime]:
    """Return when the credentials end that end soon, by setting; reads files, sends nothing, raises nothing."""
    from syncd.graph.checks.credential import find_expiring

    expires_at = find_expiring(make_credential(settings.graph), now)
    return {} if expires_at is None else {"graph.certificate_file": expires_at}


# ---- rules ----------------------------------------------------------------------------------------------------------


def make_rules(settings: Settings) -> Rules:
    """Return the administrator's rules as the planner wants them."""
    scope, mapping, policy, guard = settings.scope, settings.mapping, settings.policy, settings.guard
    user_rules = {
        "name": mapping.user.name,
        "email": mapping.user.email,
        "phone": mapping.user.phone,
        "job_title": mapping.user.job_title,
    }
    group_rules = {"name": mapping.group.name, "email": mapping.group.email}
    return Rules(
        ScopeRules(
            tuple(scope.include_groups),
            tuple(scope.exclude_groups),
            Expression(scope.users) if scope.users else None,
            Expression(scope.groups) if scope.groups else None,
            scope.guests,
            fold_all(tuple(scope.protect)),
        ),
        MappingRules(
            _make_field(mapping.user.bps_id),
            _make_field(mapping.group.bps_id),
            {name: _make_field(rule) for name, rule in user_rules.items() if _is_set(rule)},
            {name: _make_field(rule) for name, rule in group_rules.items() if _is_set(rule)},
            managers=mapping.user.manager,
            owners=mapping.group.owners,
        ),
        PolicyRules(
            policy.mode,
            policy.adopt,
            policy.disabled_users,
            policy.out_of_scope,
            policy.deleted_users,
            policy.deleted_groups,
            policy.grace,
            policy.drift,
            policy.substitute,
            policy.rename_substitute,
        ),
        GuardLimits(
            guard.max_removals,
            guard.max_removal_percent,
            guard.min_population,
            guard.max_adoptions,
            guard.max_update_percent,
        ),
        tuple(_make_licence_rule(rule) for rule in settings.licences),
    )


def _make_licence_rule(rule: LicenceRule) -> LicenceRuleValue:
    found: dict[str, str] = {}
    if rule.type == "DesignerDeskUser" and (rule.project_creation, rule.project_publishing) != (None, None):
        found["project_creation"] = "true" if rule.project_creation else "false"
        found["project_publishing"] = "true" if rule.project_publishing else "false"
    if rule.processes:
        found["processes"] = join_processes(format_process(item.db_id, item.id, item.guid) for item in rule.processes)
    return LicenceRuleValue(rule.group, rule.type, found)


def _is_set(rule: MappingRule) -> bool:
    return isinstance(rule, ExpressionRule) or bool(rule.names)


def _make_field(rule: MappingRule) -> FieldRule:
    if isinstance(rule, AttributeRule):
        return FieldRule(rule.names)
    return FieldRule(expression=Expression(rule.text))


def list_attributes(rules: Rules, variable: Literal["user", "group"]) -> tuple[str, ...]:
    """Return the source attributes that the rules look at: they are selected, and tracked."""
    mapping, scope = rules.mapping, rules.scope
    fields = mapping.user_fields if variable == "user" else mapping.group_fields
    key = mapping.user_bps_id if variable == "user" else mapping.group_bps_id
    found: set[str] = set()
    for rule in (key, *fields.values()):
        found.update(rule.attributes)
        if rule.expression is not None:
            found |= rule.expression.attributes[variable]
    condition = scope.users if variable == "user" else scope.groups
    if condition is not None:
        found |= condition.attributes[variable]
    return tuple(sorted(found))


# ---- store ----------------------------------------------------------------------------------------------------------


def open_store(settings: Settings, *, create: bool) -> Database:
    """Open the store and check its revision; ``create`` brings up an empty one. Raises StoreError, SchemaMismatch."""
    database = open_database(settings.store.url.reveal())
    try:
        ensure_schema(database, create=create)
    except BaseException:
        database.close()
        raise
    return database


def make_runs(settings: Settings, database: Database, clock: Clock) -> Runs:
    """Return what executes runs on this store."""
    quiet, zone = settings.guard.quiet_hours, settings.schedule.timezone

    def is_quiet(now: datetime) -> bool:
        return quiet is not None and quiet.covers(now.astimezone(zone).time())

    return Runs(RunStore(database), clock, is_quiet)


# ---- both sides -----------------------------------------------------------------------------------------------------


@asynccontextmanager
async def open_sides(
    settings: Settings,
    database: Database,
    clock: Clock,
    *,
    progress: Progress,
    stopping: Callable[[], bool],
    quiet: QuietTimes | None = None,
) -> AsyncIterator[Sides]:
    """Open the connections to both sides, for one run or for many. Opening sends nothing.

    ``quiet`` is what several openings share: a side that asked for a pause has it also when the run that was told is
    over.
    """
    from syncd.bps.portal import BpsPortal  # late: commands that only read the store need neither side
    from syncd.graph.source import GraphSource
    from syncd.http import QuietTimes

    # The store works in a thread of its own: a short turn keeps it from holding up requests that have their answer.
    sys.setswitchinterval(_TURN_SECONDS)
    rules = make_rules(settings)
    target = TargetStore(database)
    quiet = quiet or QuietTimes()
    portal = BpsPortal(make_bps_options(settings, quiet), clock)
    async with open_graph(settings, rules, clock, quiet) as client, portal:
        source = GraphSource(client, clock)
        pull = Pull(source, SourceStore(database), clock, progress, stopping)
        options = ApplyOptions(
            settings.bps.concurrency,
            settings.bps.members_per_request,
            settings.bps.sync_wait.total_seconds(),
            bool(rules.licences),
        )
        push = Push(portal, target, rules, clock, options, progress, stopping)
        yield Sides(pull, push, {"graph": source, "bps": portal})


def open_graph(
    settings: Settings, rules: Rules, clock: Clock, quiet: QuietTimes | None = None
) -> AbstractAsyncContextManager[GraphClient]:
    """Return the authorised client of the tenant, to be opened."""
    from syncd.graph.client import open_client
    from syncd.graph.options import GraphOptions
    from syncd.http import QuietTimes

    graph = settings.graph
    options = GraphOptions(
        tenant_id=graph.tenant_id,
        client_id=graph.client_id or "",
        credential=make_credential(graph),
        authority_url=graph.authority,
        base_url=graph.root,
        ca_file=graph.ca_file,
        proxy_url=graph.proxy_url.reveal() if graph.proxy_url else None,
        user_attributes=list_attributes(rules, "user"),
        group_attributes=list_attributes(rules, "group"),
        owners=rules.mapping.owners,
        quiet=quiet or QuietTimes(),
    )
    return open_client(options, clock)


def make_credential(graph: GraphSettings) -> Credential:
    """Return the credential that the settings name; nothing is read yet."""
    from syncd.graph.credentials import ClientCertificate, ClientSecret, FederatedToken, ManagedIdentity

    if graph.client_secret is not None:
        return ClientSecret(graph.client_secret.reveal)
    if graph.certificate_file is not None:
        password = graph.certificate_password
        return ClientCertificate(graph.certificate_file, password.reveal if password is not None else None)
    if graph.federated_token_file is not None:
        return FederatedToken(graph.federated_token_file)
    chosen = graph.managed_identity or "system"
    return ManagedIdentity(None if chosen.lower() == "system" else chosen)


def make_bps_options(settings: Settings, quiet: QuietTimes | None = None) -> BpsOptions:
    from syncd.bps.options import BpsOptions
    from syncd.http import QuietTimes

    bps = settings.bps
    return BpsOptions(
        portal_url=bps.portal_url,
        client_id=bps.client_id,
        secret=bps.client_secret.reveal,
        ca_file=bps.ca_file,
        proxy_url=bps.proxy_url.reveal() if bps.proxy_url else None,
        concurrency=bps.concurrency,
        members_per_request=bps.members_per_request,
        quiet=quiet or QuietTimes(),
    )


def find_portal_address(settings: Settings) -> str:
    """Return what tells this portal from another one."""
    return make_bps_options(settings).address


def spare_collector() -> None:
    """Let Python's collector of cycles pass over what is loaded by now, and look at the rest more rarely.

    To be called once by a process whose business is runs. A plan makes hundreds of thousands of values, none of them in
    a cycle: with Python's own thresholds a seventh of the time of planning went into looking at them again and again.
    What is in a cycle waits a little longer for its end, which costs some 3 MB.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(_COLLECT_AFTER)


# ---- daemon ---------------------------------------------------------------------------------------------------------


def run_daemon(load_settings: Callable[[], Settings]) -> int:
    """Be the daemon until a signal ends it, and return the exit code; ``load_settings`` is called again at SIGHUP.

    Raises ConfigError for the first settings, StoreError and SchemaMismatch when their store cannot be opened.
    """
    from syncd.daemon.composition import Composition  # late: no other command needs scheduler or web server
    from syncd.daemon.service import serve
    from syncd.http import QuietTimes
    from syncd.web.health import serve_health

    spare_collector()
    clock = Clock()
    composition = Composition(
        open_store=partial(open_store, create=True),
        open_sides=partial(open_sides, quiet=QuietTimes()),
        make_runs=make_runs,
        serve_health=lambda listen, state: serve_health(listen.host, listen.port, state, clock),
        list_expiring=list_expiring,
        open_hook=open_hook,
    )
    return serve(load_settings, composition, clock)
