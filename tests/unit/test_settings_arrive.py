"""Every key of the configuration arrives where it acts, and nowhere else.

The table says of each key to what it is set and what becomes of that at the borders of the program. All other values
there must be those of the same configuration without that key, so that two settings of one type cannot change places.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import MISSING, dataclass, field, fields
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import structlog

from syncd.bootstrap.settings import read_settings
from syncd.bps.options import BpsOptions
from syncd.config import layers
from syncd.config.sections import LISTS, SECRET_KEYS
from syncd.errors import ConfigError
from syncd.graph.options import GraphOptions
from syncd.mail import MailOptions
from syncd.model.event import EVENTS
from syncd.plan.rules import GuardLimits, MappingRules, PolicyRules, Rules, ScopeRules
from syncd.sync.apply.apply import ApplyOptions
from syncd.webhook import HookOptions
from tests.contract.certificates import issue
from tests.fakes.borders import observe
from tests.stores import template
from tools.reference_settings import list_keys

ABSENT = object()
"""Instead of a value: the key is not written, or nothing arrives at that border."""

BASE: Mapping[str, object] = {
    "graph.tenant_id": "tenant.example",
    "graph.client_id": "graph-client",
    "graph.client_secret": "graph-secret",
    "bps.portal_url": "https://portal.example/bps",
    "bps.client_id": "bps-client",
    "bps.client_secret": "bps-secret",
}

FILES = {
    "secret.txt": b"from a file",
    "url.txt": b"sqlite:///filed.db",
    "mail.txt": b"smtp://filed.example:25?starttls=required",
    "hook.txt": b"https://hook.example/filed",
    "certificate.pfx": b"opened at sign-in",
    "token.txt": b"f" * 40 + b"\n",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A key's other value and what it changes. ``given`` is written in any case, ``beside`` together with the key."""

    value: object
    changes: Mapping[str, object]
    given: Mapping[str, object] = field(default_factory=dict)
    beside: Mapping[str, object] = field(default_factory=dict)


def swapping(before: str, *after: str) -> Callable[[tuple[str, ...]], tuple[str, ...]]:
    """Return what becomes of a list of selected attributes when a rule looks at others."""
    return lambda names: tuple(sorted({*names} - {before} | {*after}))


ALL_EVENTS = sorted(EVENTS)
HOOK = {"notify.webhook_url": "https://hook.example/given"}
MAIL = {
    "notify.smtp_url": "smtps://mail.example",
    "notify.mail_from": "syncd@example.com",
    "notify.mail_to": ["it@example.com"],
}
NO_SECRET = {"graph.client_secret": ABSENT}
CERTIFICATE = {**NO_SECRET, "graph.certificate_file": "certificate.pfx"}

GRAPH = {
    "graph.cloud": Case(
        value="china",
        changes={
            "graph.authority_url": "https://login.chinacloudapi.cn",
            "graph.base_url": "https://microsoftgraph.chinacloudapi.cn",
        },
    ),
    "graph.tenant_id": Case(value="other.example", changes={"graph.tenant_id": "other.example"}),
    "graph.client_id": Case(value="other", changes={"graph.client_id": "other"}),
    "graph.client_secret": Case(value="other", changes={"graph.credential": "secret other"}),
    "graph.client_secret_file": Case(
        value="secret.txt", changes={"graph.credential": "secret from a file"}, beside=NO_SECRET
    ),
    "graph.client_secret_expires": Case(
        value="2100-01-20", changes={"ends.graph.client_secret": "2100-01-20 00:00:00+00:00"}
    ),
    "graph.certificate_file": Case(
        value="certificate.pfx", changes={"graph.credential": "certificate certificate.pfx None"}, beside=NO_SECRET
    ),
    "graph.certificate_password": Case(
        value="opens", changes={"graph.credential": "certificate certificate.pfx opens"}, given=CERTIFICATE
    ),
    "graph.certificate_password_file": Case(
        value="secret.txt", changes={"graph.credential": "certificate certificate.pfx from a file"}, given=CERTIFICATE
    ),
    "graph.federated_token_file": Case(
        value="secret.txt", changes={"graph.credential": "token secret.txt"}, beside=NO_SECRET
    ),
    "graph.managed_identity": Case(value="mine", changes={"graph.credential": "identity mine"}, beside=NO_SECRET),
    "graph.authority_url": Case(
        value="https://login.example", changes={"graph.authority_url": "https://login.example"}
    ),
    "graph.base_url": Case(value="https://graph.example", changes={"graph.base_url": "https://graph.example"}),
    "graph.ca_file": Case(value="ca.pem", changes={"graph.ca_file": "ca.pem"}),
    "graph.proxy_url": Case(value="http://proxy.example:1", changes={"graph.proxy_url": "http://proxy.example:1"}),
}

BPS = {
    "bps.allow_http": Case(  # what it allows stands beside it, and is refused without it
        value=True,
        beside={"bps.portal_url": "http://portal.example/bps"},
        changes={"bps.portal_url": "http://portal.example/bps"},
    ),
    "bps.portal_url": Case(
        value="https://other.example/x",
        given=HOOK,
        changes={"bps.portal_url": "https://other.example/x", "hook.portal": "other.example/x"},
    ),
    "bps.client_id": Case(value="other", changes={"bps.client_id": "other"}),
    "bps.client_secret": Case(value="other", changes={"bps.secret": "other"}),
    "bps.client_secret_file": Case(
        value="secret.txt",
        changes={"bps.secret": "from a file", "bps.credential_setting": "bps.client_secret_file"},
        beside={"bps.client_secret": ABSENT},
    ),
    "bps.client_secret_expires": Case(
        value="2100-01-21", changes={"ends.bps.client_secret": "2100-01-21 00:00:00+00:00"}
    ),
    "bps.concurrency": Case(value=7, changes={"bps.concurrency": 7, "bps.adaptive": False, "apply.concurrency": 7}),
    "bps.members_per_request": Case(value=33, changes={"bps.members_per_request": 33, "apply.members_per_request": 33}),
    "bps.sync_wait": Case(value="90s", changes={"apply.sync_wait": 90.0}),
    "bps.ca_file": Case(value="ca.pem", changes={"bps.ca_file": "ca.pem"}),
    "bps.proxy_url": Case(value="http://proxy.example:2", changes={"bps.proxy_url": "http://proxy.example:2"}),
}

PROCESS = {
    "store.url": Case(value="sqlite:///other.db", changes={"store": "other.db"}),
    "store.url_file": Case(value="url.txt", changes={"store": "filed.db"}),
    "store.keep_runs": Case(value="30d", changes={"keep.runs": timedelta(days=30)}),
    "store.keep_history": Case(value="31d", changes={"keep.history": timedelta(days=31)}),
    "schedule.full": Case(value="30 4 * * *", changes={"schedule.full": "2100-01-16T03:30:00+00:00"}),
    "schedule.delta": Case(value="7m", changes={"schedule.delta": "2100-01-15T12:07:00+00:00"}),
    "schedule.timezone": Case(
        value="America/New_York",
        given={"guard.quiet_hours": "07:00-18:00"},
        changes={"schedule.full": "2100-01-16T07:00:00+00:00", "quiet": list(range(12, 23))},
    ),
    "schedule.on_start": Case(value="full", changes={"schedule.on_start": "full"}),
    "health.listen": Case(value="127.0.0.2:8081", changes={"health": "127.0.0.2:8081"}),
    "notify.webhook_url": Case(
        value="https://hook.example/x",
        changes={"hook.url": "https://hook.example/x", "hook.portal": "portal.example/bps", "events": ALL_EVENTS},
    ),
    "notify.webhook_url_file": Case(
        value="hook.txt",
        changes={"hook.url": "https://hook.example/filed", "hook.portal": "portal.example/bps", "events": ALL_EVENTS},
    ),
    "notify.smtp_url": Case(
        value="smtps://u:p@other.example", given=MAIL, changes={"mail.url": "smtps://u:p@other.example"}
    ),
    "notify.smtp_url_file": Case(
        value="mail.txt",
        given=MAIL,
        beside={"notify.smtp_url": ABSENT},
        changes={"mail.url": "smtp://filed.example:25?starttls=required", "mail.setting": "notify.smtp_url_file"},
    ),
    "notify.mail_from": Case(value="other@example.com", given=MAIL, changes={"mail.sender": "other@example.com"}),
    "notify.mail_to": Case(
        value=["a@example.com", "b@example.com"],
        given=MAIL,
        changes={"mail.recipients": ("a@example.com", "b@example.com")},
    ),
    "notify.events": Case(value=["held"], given=HOOK, changes={"events": ["held"]}),
    "log.format": Case(
        value="console", changes={"logs.daemon": "console from info", "logs.command": "console from info"}
    ),
    "log.level": Case(value="error", changes={"logs.daemon": "json from error", "logs.command": "json from error"}),
}

ID = "0f0e0d0c-0b0a-4908-8706-050403020100"
BY_TOKEN = {"web.listen": "127.0.0.1:8443", "web.allow_http": True, "web.sign_in": "token", "web.token": "t" * 32}
BY_ENTRA = {
    "web.listen": "127.0.0.1:8443",
    "web.allow_http": True,
    "web.external_url": "https://syncd.example",
    "web.client_id": "console",
    "web.client_secret": "console-secret",
    "web.viewers": [ID],
}

WEB = {
    "web.listen": Case(value="127.0.0.2:8444", given=BY_TOKEN, changes={"web": "127.0.0.2:8444"}),
    "web.tls_certificate_file": Case(
        value="tls.pem",
        given=BY_TOKEN,
        beside={"web.allow_http": False, "web.tls_key_file": "tls.key"},
        changes={
            "web.tls_certificate_file": "tls.pem",
            "web.tls_key_file": "tls.key",
            "web.allow_http": False,
        },
    ),
    "web.tls_key_file": Case(
        value="tls.key",
        given=BY_TOKEN,
        beside={"web.allow_http": False, "web.tls_certificate_file": "tls.pem"},
        changes={
            "web.tls_certificate_file": "tls.pem",
            "web.tls_key_file": "tls.key",
            "web.allow_http": False,
        },
    ),
    "web.allow_http": Case(
        value=False,
        given=BY_TOKEN,
        beside={"web.tls_certificate_file": "tls.pem", "web.tls_key_file": "tls.key"},
        changes={
            "web.tls_certificate_file": "tls.pem",
            "web.tls_key_file": "tls.key",
            "web.allow_http": False,
        },
    ),
    "web.external_url": Case(
        value="https://desk.example/", given=BY_TOKEN, changes={"web.external_url": "https://desk.example"}
    ),
    "web.sign_in": Case(
        value="token",
        given=BY_ENTRA,
        beside={"web.token": "t" * 32, "web.viewers": ABSENT},
        changes={"web.sign_in": "token", "web.token": "t" * 32, "web.viewers": ()},
    ),
    "web.client_id": Case(value="other", given=BY_ENTRA, changes={"web.client_id": "other"}),
    "web.client_secret": Case(value="other", given=BY_ENTRA, changes={"web.client_secret": "other"}),
    "web.client_secret_file": Case(
        value="secret.txt",
        given=BY_ENTRA,
        beside={"web.client_secret": ABSENT},
        changes={"web.client_secret": "from a file"},
    ),
    "web.viewers": Case(value=["A" + ID[1:], "a" + ID[1:]], given=BY_ENTRA, changes={"web.viewers": ("a" + ID[1:],)}),
    "web.approvers": Case(value=["A" + ID[1:]], given=BY_ENTRA, changes={"web.approvers": ("a" + ID[1:],)}),
    "web.token": Case(value="u" * 24, given=BY_TOKEN, changes={"web.token": "u" * 24}),
    "web.token_file": Case(
        value="token.txt", given=BY_TOKEN, beside={"web.token": ABSENT}, changes={"web.token": "f" * 40}
    ),
}

SCOPE = {
    "scope.include_groups": Case(
        value=["In", "Into"],
        changes={
            "rules.scope.include_groups": ("In", "Into"),
            "check.groups": [("scope.include_groups", "In"), ("scope.include_groups", "Into")],
        },
    ),
    "scope.exclude_groups": Case(
        value=["Out"],
        changes={"rules.scope.exclude_groups": ("Out",), "check.groups": [("scope.exclude_groups", "Out")]},
    ),
    "scope.users": Case(
        value='user.department == "Sales"',
        changes={
            "rules.scope.users": 'user.department == "Sales"',
            "graph.user_attributes": swapping("", "department"),
        },
    ),
    "scope.groups": Case(
        value="group.securityEnabled",
        changes={
            "rules.scope.groups": "group.securityEnabled",
            "graph.group_attributes": swapping("", "securityEnabled"),
        },
    ),
    "scope.guests": Case(value="mail", changes={"rules.scope.guests": "mail"}),
    "scope.agents": Case(value="sync", changes={"rules.scope.agents": "sync"}),
    "scope.protect": Case(value=["Boss@X.example"], changes={"rules.scope.protect": frozenset({"boss@x.example"})}),
}


def mapped(entity: str, rule: str, before: str, after: str = "city") -> Case:
    """Return the case of one field: it is made of another attribute, which is selected in place of the old one."""
    return Case(
        value=after,
        changes={
            f"rules.mapping.{rule}": (after,),
            f"graph.{entity}_attributes": swapping(before, after),
        },
    )


MAPPING = {
    "mapping.user.bps_id": Case(  # the e-mail is made of the same attribute, which therefore stays
        value="city", changes={"rules.mapping.user_bps_id": ("city",), "graph.user_attributes": swapping("", "city")}
    ),
    "mapping.user.name": mapped("user", "user_fields.name", "displayName"),
    "mapping.user.email": mapped("user", "user_fields.email", "mail"),
    "mapping.user.phone": Case(
        value=["businessPhones", "city"],
        changes={
            "rules.mapping.user_fields.phone": ("businessPhones", "city"),
            "graph.user_attributes": swapping("mobilePhone", "city"),
        },
    ),
    "mapping.user.job_title": mapped("user", "user_fields.job_title", "jobTitle"),
    "mapping.user.manager": Case(value=False, changes={"rules.mapping.managers": False}),
    "mapping.group.bps_id": Case(
        value='group.mailNickname + "@x.example"',
        changes={
            "rules.mapping.group_bps_id": 'group.mailNickname + "@x.example"',
            "graph.group_attributes": swapping("id", "mailNickname"),
        },
    ),
    "mapping.group.name": mapped("group", "group_fields.name", "displayName", "mailNickname"),
    "mapping.group.email": mapped("group", "group_fields.email", "mail", "mailNickname"),
    "mapping.group.owners": Case(value=True, changes={"rules.mapping.owners": True, "graph.owners": True}),
}


def ruled(key: str, value: object, arrived: object = ABSENT) -> Case:
    """Return the case of a setting that is a rule of the same name."""
    section, name = key.split(".")
    part = {"policy": "policy", "guard": "limits"}[section]
    return Case(value=value, changes={f"rules.{part}.{name}": value if arrived is ABSENT else arrived})


POLICY = {
    "policy.mode": ruled("policy.mode", "upsert_only"),
    "policy.adopt": ruled("policy.adopt", "never"),
    "policy.disabled_users": ruled("policy.disabled_users", "keep"),
    "policy.out_of_scope": ruled("policy.out_of_scope", "keep"),
    "policy.deleted_users": ruled("policy.deleted_users", "keep"),
    "policy.deleted_groups": ruled("policy.deleted_groups", "keep"),
    "policy.grace": ruled("policy.grace", "3d", timedelta(days=3)),
    "policy.substitute": ruled("policy.substitute", "manager"),
    "policy.rename_substitute": ruled("policy.rename_substitute", value=False),
    "policy.drift": ruled("policy.drift", "report"),
    "policy.waves": Case(value=[5, 100], changes={"rules.waves.percents": (5, 100)}),
}

GUARD = {
    "guard.max_removals": ruled("guard.max_removals", 61),
    "guard.max_removal_percent": ruled("guard.max_removal_percent", 62),
    "guard.min_population": ruled("guard.min_population", 63),
    "guard.max_adoptions": ruled("guard.max_adoptions", 64),
    "guard.max_update_percent": ruled("guard.max_update_percent", 65),
    "guard.max_daily_removals": ruled("guard.max_daily_removals", 66),
    "guard.max_daily_removal_percent": ruled("guard.max_daily_removal_percent", 67),
    "guard.max_creation_percent": ruled("guard.max_creation_percent", 250),
    "guard.max_handovers": ruled("guard.max_handovers", 66),
    "guard.max_wave_failures": Case(value=67, changes={"rules.waves.max_failures": 67}),
    "guard.quiet_hours": Case(value="07:00-18:00", changes={"quiet": list(range(6, 17))}),
}


def licensed(after: Mapping[str, object], changes: Mapping[str, object], **before: object) -> Case:
    """Return the case of a key of a licence rule: one rule is given, and ``after`` changes it."""
    rule = {"group": "Sales", "type": "User", **before}
    return Case(
        value=[{**rule, **after}],
        given={"licences": [rule]},
        changes={f"rules.licences.0.{name}": value for name, value in changes.items()},
    )


DESK = {"type": "DesignerDeskUser", "project_creation": False, "project_publishing": False}
GUID = "00000000-0000-0000-0000-00000000cafe"


def processed(**after: object) -> Case:
    """Return the case of a key of a process, which shows in the one setting that processes become."""
    process = {"db_id": 1, "id": 7, **after}
    shown = f"{process['db_id']}/{process['id']}/{process.get('guid', '')}"
    return licensed(
        {"processes": [process]},
        {"settings.processes": shown},
        type="SingleSolutionUser",
        processes=[{"db_id": 1, "id": 7}],
    )


LICENCES = {
    "licences.group": Case(
        value=[{"group": "Clerks", "type": "User"}],
        given={"licences": [{"group": "Sales", "type": "User"}]},
        changes={"rules.licences.0.group": "Clerks", "check.groups": [("licences[0].group", "Clerks")]},
    ),
    "licences.type": licensed({"type": "PowerUser"}, {"type": "PowerUser"}),
    "licences.project_creation": licensed({"project_creation": True}, {"settings.project_creation": "true"}, **DESK),
    "licences.project_publishing": licensed(
        {"project_publishing": True}, {"settings.project_publishing": "true"}, **DESK
    ),
    "licences.processes": licensed(
        {"processes": [{"db_id": 1, "id": 7}]}, {"settings.processes": "1/7/"}, type="SingleSolutionUser"
    ),
    "licences.processes.db_id": processed(db_id=2),
    "licences.processes.id": processed(id=8),
    "licences.processes.guid": processed(guid=GUID),
}


def allowed(after: Mapping[str, object], changes: Mapping[str, object], **beside: object) -> Case:
    """Return the case of a key of a privilege rule: one rule is given, and ``after`` changes it."""
    rule: dict[str, object] = {"group": "Sales", "database": 1, "level": "Administrator"}
    before = {**rule, **(beside or {"application": "Invoices"})}
    return Case(
        value=[{**before, **after}],
        given={"privileges": [before]},
        changes={
            path if path.startswith("check.") else f"rules.privileges.0.{path}": value
            for path, value in changes.items()
        },
    )


def moved(kind: str, **keys: object) -> Case:
    """Return the case of a key that names another kind of place: the rule before is one for an application."""
    rule: dict[str, object] = {"group": "Sales", "database": 1, "level": "Administrator"}
    changes: dict[str, object] = {"kind": kind, "place": keys[kind]}
    changes |= {"workflow": keys["workflow"]} if "workflow" in keys else {}
    return Case(
        value=[{**rule, **keys}],
        given={"privileges": [{**rule, "application": "Invoices"}]},
        changes={f"rules.privileges.0.{path}": value for path, value in changes.items()},
    )


PRIVILEGES = {
    "privileges.group": allowed(
        {"group": "Clerks"}, {"group": "Clerks", "check.groups": [("privileges[0].group", "Clerks")]}
    ),
    "privileges.database": allowed({"database": 2}, {"database": 2}),
    "privileges.level": allowed({"level": "ReadOnly"}, {"level": "ReadOnly"}),
    "privileges.application": allowed({"application": 12}, {"place": "12"}),
    "privileges.process": moved("process", process="Suppliers"),
    "privileges.workflow": moved("form_type", form_type="Invoice", workflow="Approval"),
    "privileges.form_type": allowed(
        {"form_type": "Annex"}, {"place": "Annex"}, form_type="Invoice", workflow="Approval"
    ),
    "privileges.company": allowed({"company": "PL01"}, {"company": "PL01"}, process="Suppliers"),
}

TABLE: Mapping[str, Case] = {
    **GRAPH, **BPS, **PROCESS, **WEB, **SCOPE, **MAPPING, **POLICY, **GUARD, **LICENCES, **PRIVILEGES
}  # fmt: skip

PLANNED_BY = ("rules.scope.", "rules.mapping.", "rules.policy.", "rules.licences.", "rules.privileges.")
"""What decides about people: when it changes, the next push looks at everybody."""


@pytest.fixture(autouse=True)
def at_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Work where the files of the table are, with no other setting around, and leave the logging as it was."""
    for name in [name for name in os.environ if name.startswith("SYNCD_")]:
        monkeypatch.delenv(name)
    monkeypatch.setattr(layers, "SYSTEM_FILE", tmp_path / "none.toml")
    monkeypatch.chdir(tmp_path)
    tls = issue("tls")
    for name, content in {**FILES, "ca.pem": issue("ca").pem, "tls.pem": tls.pem, "tls.key": tls.key_pem()}.items():
        Path(name).write_bytes(content)
    for name in ("syncd.db", "other.db", "filed.db"):
        shutil.copy(template(), name)
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    structlog.reset_defaults()
    root.handlers[:] = handlers
    root.setLevel(level)


def write_file(keys: Mapping[str, object]) -> str:
    """Return keys as TOML."""
    return "\n".join(f"{key} = {to_toml(value)}" for key, value in keys.items())


def to_toml(value: Any) -> str:
    """Return a value as TOML, which writes texts and numbers as JSON does."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{name} = {to_toml(each)}" for name, each in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(to_toml(each) for each in value) + "]"
    return json.dumps(value)


def write_environment(keys: Mapping[str, object]) -> dict[str, str]:
    """Return keys as variables."""
    return {
        f"SYNCD_{key.upper().replace('.', '__')}": value if isinstance(value, str) else json.dumps(value)
        for key, value in keys.items()
    }


def arrange(keys: Mapping[str, object]) -> dict[str, object]:
    """Return what arrives where, of these keys in a file."""
    Path("own.toml").write_text(write_file(write_out(keys)), encoding="utf-8")
    return observe(read_settings(Path("own.toml"), {}), Path("own.toml"))


def write_out(keys: Mapping[str, object]) -> dict[str, object]:
    """Return the keys that are written, with those that must be."""
    return {key: value for key, value in {**BASE, **keys}.items() if value is not ABSENT}


@cache
def arrange_once(keys: str) -> Mapping[str, object]:
    """Return what arrives of keys (as JSON) that many cases have in common."""
    return arrange({key: ABSENT if value is None else value for key, value in json.loads(keys).items()})


def read_alike(keys: Mapping[str, object]) -> bool:
    """Return whether the environment says the same as a file."""
    Path("own.toml").write_text(write_file(write_out(keys)), encoding="utf-8")
    read = read_settings(Path("own.toml"), {}), read_settings(None, write_environment(write_out(keys)))
    one, other = (settings.model_copy(update={"source": {}, "file": None}) for settings in read)
    return one == other


def test_every_key_of_the_configuration_is_in_the_table() -> None:
    """A new key needs a line that says where it arrives."""
    keys = {*list_keys(), *(f"{name}.{key}_file" for name, secrets in SECRET_KEYS.items() for key in secrets)}
    assert {"missing": keys - TABLE.keys(), "unknown": TABLE.keys() - keys} == {"missing": set(), "unknown": set()}


MADE_OF_SETTINGS = (
    *(ScopeRules, MappingRules, PolicyRules, GuardLimits, Rules),
    *(ApplyOptions, BpsOptions, GraphOptions, HookOptions, MailOptions),
)

NO_SETTINGS = {
    *("BpsOptions.page_size", "BpsOptions.shared", "GraphOptions.concurrency", "GraphOptions.shared"),
    *("BpsOptions.credential_setting", "BpsOptions.proxy_setting", "GraphOptions.proxy_setting", "MailOptions.setting"),
}
"""Options that no key of the configuration decides about, or that name the key: these may have defaults."""


def test_a_setting_has_its_default_in_the_configuration_only() -> None:
    """What is made of the settings gets every value handed over; a second default would hide one that is forgotten."""
    found = {
        f"{made.__name__}.{each.name}"
        for made in MADE_OF_SETTINGS
        for each in fields(made)
        if (each.default, each.default_factory) != (MISSING, MISSING)
    }
    assert found == NO_SETTINGS


@pytest.mark.parametrize("key", sorted(TABLE))
def test_a_key_arrives_where_it_acts_and_changes_nothing_else(key: str) -> None:
    """Set to something else than its default, in a file or in the environment."""
    case = TABLE[key]
    section = key.partition(".")[0]
    name = section if section in LISTS else key
    keys = {**case.given, **case.beside, name: case.value}
    before = arrange_once(json.dumps(case.given, default=lambda _: None))
    after, expected = arrange(keys), {**before}
    for path, value in case.changes.items():
        expected[path] = value(before[path]) if callable(value) else value
        assert expected[path] != before.get(path), f"{path} has that value anyway"
    planned = any(path.startswith(PLANNED_BY) for path in case.changes)
    assert (after.pop("fingerprint") != expected.pop("fingerprint")) is planned
    assert after == expected
    assert read_alike(keys)


def test_plain_http_is_refused_unless_it_is_allowed() -> None:
    """What ``bps.allow_http`` does shows in what is refused without it."""
    with pytest.raises(ConfigError) as caught:
        arrange({"bps.portal_url": "http://portal.example/bps"})
    assert "bps.allow_http" in "\n".join(caught.value.problems)


def test_without_an_address_there_is_no_console() -> None:
    """Whatever else is said about it."""
    assert "web" not in arrange({})
    assert "web" not in arrange({**BY_TOKEN, "web.listen": ""})


def test_an_empty_address_serves_no_health() -> None:
    """Nobody listens, and everything else is the same."""
    before, after = arrange({}), arrange({"health.listen": ""})
    assert before.pop("health") == "127.0.0.1:8080"
    assert after == before
