"""The rules of the administrator, as planning wants them, made from the settings."""

from __future__ import annotations

import hashlib

from syncd.config import (
    AttributeRule,
    ExpressionRule,
    LicenceSetting,
    MappingRule,
    PrivilegeSetting,
    Settings,
)
from syncd.model.attributes import merge_spellings, spell_path
from syncd.model.kinds import RecordKind
from syncd.model.licence import format_process, join_processes
from syncd.plan.cel.expressions import Expression
from syncd.plan.rules import (
    FieldRule,
    GuardLimits,
    LicenceRule,
    MappingRules,
    PolicyRules,
    PrivilegeRule,
    Rules,
    ScopeRules,
    WaveRules,
    fold_all,
)


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
        scope=ScopeRules(
            include_groups=tuple(scope.include_groups),
            exclude_groups=tuple(scope.exclude_groups),
            users=Expression(scope.users) if scope.users else None,
            groups=Expression(scope.groups) if scope.groups else None,
            guests=scope.guests,
            agents=scope.agents,
            protect=fold_all(tuple(scope.protect)),
        ),
        mapping=MappingRules(
            user_bps_id=_make_field(mapping.user.bps_id),
            group_bps_id=_make_field(mapping.group.bps_id),
            user_fields={name: _make_field(rule) for name, rule in user_rules.items() if _is_set(rule)},
            group_fields={name: _make_field(rule) for name, rule in group_rules.items() if _is_set(rule)},
            managers=mapping.user.manager,
            owners=mapping.group.owners,
        ),
        policy=PolicyRules(
            mode=policy.mode,
            adopt=policy.adopt,
            disabled_users=policy.disabled_users,
            out_of_scope=policy.out_of_scope,
            deleted_users=policy.deleted_users,
            deleted_groups=policy.deleted_groups,
            grace=policy.grace,
            drift=policy.drift,
            substitute=policy.substitute,
            rename_substitute=policy.rename_substitute,
        ),
        limits=GuardLimits(
            max_removals=guard.max_removals,
            max_removal_percent=guard.max_removal_percent,
            min_population=guard.min_population,
            max_adoptions=guard.max_adoptions,
            max_update_percent=guard.max_update_percent,
            max_creation_percent=guard.max_creation_percent,
            max_daily_removals=guard.max_daily_removals,
            max_daily_removal_percent=guard.max_daily_removal_percent,
            max_handovers=guard.max_handovers,
        ),
        waves=WaveRules(percents=policy.waves, max_failures=guard.max_wave_failures),
        licences=tuple(_make_licence_rule(rule) for rule in settings.licences),
        privileges=tuple(make_privilege_rule(rule) for rule in settings.privileges),
    )


def identify_rules(settings: Settings) -> str:
    """Return a hash of everything that a plan is made by: what decides about people, and the guard."""
    said = f"{make_rules(settings).fingerprint()} {settings.guard!r} {settings.schedule.timezone}"
    return hashlib.sha256(said.encode()).hexdigest()


def _make_licence_rule(rule: LicenceSetting) -> LicenceRule:
    found: dict[str, str] = {}
    if rule.type == "DesignerDeskUser" and (rule.project_creation, rule.project_publishing) != (None, None):
        found["project_creation"] = "true" if rule.project_creation else "false"
        found["project_publishing"] = "true" if rule.project_publishing else "false"
    if rule.processes:
        found["processes"] = join_processes(format_process(item.db_id, item.id, item.guid) for item in rule.processes)
    return LicenceRule(rule.group, rule.type, found)


def make_privilege_rule(rule: PrivilegeSetting) -> PrivilegeRule:
    """Return a rule about privileges as the planner wants it."""
    return PrivilegeRule(
        group=rule.group,
        database=rule.database,
        kind=rule.kind,
        place=rule.application or rule.process or rule.form_type or "",
        workflow=rule.workflow or "",
        level=rule.level,
        company=rule.company or "",
    )


def _is_set(rule: MappingRule) -> bool:
    return isinstance(rule, ExpressionRule) or bool(rule.names)


def _make_field(rule: MappingRule) -> FieldRule:
    if isinstance(rule, AttributeRule):
        return FieldRule(rule.names)
    return FieldRule(expression=Expression(rule.text))


def list_attributes(rules: Rules, variable: RecordKind) -> tuple[str, ...]:
    """Return the source attributes that the rules look at, as Graph spells them: they are selected, and tracked."""
    mapping, scope = rules.mapping, rules.scope
    fields = mapping.user_fields if variable == "user" else mapping.group_fields
    key = mapping.user_bps_id if variable == "user" else mapping.group_bps_id
    found: set[str] = set()
    for rule in (key, *fields.values()):
        found.update(".".join(spell_path(variable, name.split("."))) for name in rule.attributes)
        if rule.expression is not None:
            found |= rule.expression.attributes[variable]
    condition = scope.users if variable == "user" else scope.groups
    if condition is not None:
        found |= condition.attributes[variable]
    return merge_spellings(found)
