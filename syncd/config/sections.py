"""The tables of the settings with their keys, types and defaults. The contract with the administrator, as code."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo

from pydantic import (
    BeforeValidator,
    Field,
    SerializerFunctionWrapHandler,
    ValidationInfo,
    field_validator,
    model_serializer,
)

from syncd.config import addresses, files, smtp, values
from syncd.config.base import Parsed, Section, simple
from syncd.config.cadence import Cron, Interval
from syncd.config.mapping import MappingSettings
from syncd.config.problem import Refused, suggest
from syncd.config.secret import Secret
from syncd.config.secret_values import parse_secret
from syncd.config.setting_types import (
    CadenceValue,
    CaFile,
    Concurrency,
    Day,
    Duration,
    Events,
    GroupCondition,
    HostRoot,
    Identifier,
    Kept,
    Limit,
    ListenAt,
    Mailbox,
    Mailboxes,
    Names,
    Percent,
    Plain,
    Proxy,
    Reference,
    UserCondition,
    lower,
    of_type,
    parse_guid,
    parse_licence_type,
    parse_name,
    parse_portal_url,
    to_tuple,
)
from syncd.config.web import WEB_SECRETS, WebSettings
from syncd.model.event import EVENTS
from syncd.model.privilege import LEVELS, PlaceKind

SECRET_KEYS: dict[str, frozenset[str]] = {
    "graph": frozenset({"client_secret", "certificate_password"}),
    "bps": frozenset({"client_secret"}),
    "store": frozenset({"url"}),
    "web": WEB_SECRETS,
    "notify": frozenset({"webhook_url", "smtp_url"}),
}
MASKED_KEYS = frozenset(
    {"client_secret", "certificate_password", "token", "url", "webhook_url", "smtp_url", "proxy_url"}
)

Leave = Literal["keep", "revoke", "delete"]


class GraphSettings(Section):
    """``[graph]``: the Entra side. Exactly one kind of credential is set."""

    cloud: Literal["global", "usgov", "usgov-dod", "china"] = "global"
    tenant_id: Annotated[str, simple(values.parse_tenant)]
    client_id: Identifier | None = None
    client_secret: Plain | None = None
    client_secret_expires: Day | None = None
    certificate_file: Annotated[Path, Parsed(files.parse_certificate_file)] | None = None
    certificate_password: Plain | None = None
    federated_token_file: Annotated[Path, Parsed(files.parse_token_file)] | None = None
    managed_identity: Identifier | None = None
    authority_url: HostRoot | None = None
    base_url: HostRoot | None = None
    ca_file: CaFile | None = None
    proxy_url: Proxy | None = None

    @property
    def authority(self) -> str:
        """Return the host root of the token service; without tenant."""
        return self.authority_url or addresses.CLOUDS[self.cloud][0]

    @property
    def root(self) -> str:
        """Return the host root of Graph; without version. Also the host of the token's scope."""
        return self.base_url or addresses.CLOUDS[self.cloud][1]


class BpsSettings(Section):
    """``[bps]``: the WEBCON BPS portal."""

    allow_http: bool = False
    portal_url: Annotated[str, Parsed(parse_portal_url)]
    client_id: Identifier
    client_secret: Plain
    client_secret_expires: Day | None = None
    concurrency: Concurrency = "auto"
    members_per_request: Annotated[int, Field(ge=1, le=1000)] = 200
    sync_wait: Duration = timedelta(seconds=60)
    ca_file: CaFile | None = None
    proxy_url: Proxy | None = None


class StoreSettings(Section):
    """``[store]``: the address holds a password, so it is a secret. ``url.reveal()`` is what SQLAlchemy takes."""

    url: Annotated[Secret, parse_secret(addresses.parse_store_url, addresses.show_without_password)] = Secret(
        "sqlite:///syncd.db", normalise=addresses.parse_store_url, show=addresses.show_without_password
    )
    keep_runs: Kept = timedelta(days=400)
    keep_history: Kept = timedelta(days=400)


class ScheduleSettings(Section):
    """``[schedule]``: when pulls start by themselves."""

    full: CadenceValue = Cron(minute="0", hour="2", day="*", month="*", weekday="*", text="0 2 * * *")
    delta: CadenceValue = Interval(timedelta(minutes=5))
    timezone: Annotated[ZoneInfo, simple(values.parse_timezone)] = Field(
        default_factory=lambda: ZoneInfo("Europe/Warsaw")
    )
    on_start: Literal["full", "delta", "none"] = "delta"


class ScopeSettings(Section):
    """``[scope]``: which source objects are meant for the target; an empty expression admits everything."""

    include_groups: Names = ()
    exclude_groups: Names = ()
    users: UserCondition = ""
    groups: GroupCondition = ""
    guests: Literal["skip", "mail"] = "skip"
    agents: Literal["skip", "sync"] = "skip"
    protect: Names = ()


class PolicySettings(Section):
    """``[policy]``: which kinds of change are permitted."""

    mode: Literal["sync", "upsert_only", "create_only", "plan_only"] = "sync"
    adopt: Literal["match", "never"] = "match"
    disabled_users: Leave = "revoke"
    out_of_scope: Leave = "revoke"
    deleted_users: Leave = "revoke"
    deleted_groups: Literal["empty", "keep", "delete"] = "empty"
    grace: Duration = timedelta(days=30)
    substitute: Literal["none", "manager"] = "none"
    rename_substitute: bool = True
    drift: Literal["revert", "adopt", "report"] = "revert"
    waves: Annotated[tuple[int, ...], simple(values.parse_waves, list)] = ()


class GuardSettings(Section):
    """``[guard]``: which plan is too dangerous. None means that the limit is off (``false`` in the file)."""

    max_removals: Limit = 500
    max_removal_percent: Percent = 10
    min_population: Annotated[int, Field(ge=0)] = 20
    max_adoptions: Limit = 0
    max_update_percent: Percent = 60
    max_daily_removals: Limit = None
    max_daily_removal_percent: Percent = 20
    max_creation_percent: Limit = 100
    max_handovers: Limit = 0
    max_wave_failures: Limit = 0
    quiet_hours: Annotated[values.QuietHours | None, simple(values.parse_quiet_hours, values.format_optional)] = None


class ProcessSetting(Section):
    """One entry of ``processes`` of a licence rule: a process of the portal, by its id or its guid."""

    db_id: Annotated[int, Field(ge=1)]
    id: Annotated[int, Field(ge=1)] | None = None
    guid: Annotated[str, simple(parse_guid)] | None = None


class LicenceSetting(Section):
    """One entry of ``[[licences]]``: members of the group get the licence; the first matching rule comes first.

    The type is any that the portal's own summary of licences offers; only the portal can tell whether it does. The
    settings belong to one type each; what is not given is left to the portal.
    """

    group: Annotated[str, simple(parse_name)]
    type: Annotated[str, simple(parse_licence_type)]
    project_creation: Annotated[bool, of_type("DesignerDeskUser")] | None = None
    project_publishing: Annotated[bool, of_type("DesignerDeskUser")] | None = None
    processes: Annotated[tuple[ProcessSetting, ...], of_type("SingleSolutionUser"), BeforeValidator(to_tuple)] = ()

    @field_validator("processes")
    @classmethod
    def _each_is_named(cls, processes: tuple[ProcessSetting, ...]) -> tuple[ProcessSetting, ...]:
        if any(process.id is None and process.guid is None for process in processes):
            raise Refused("names a process by its database alone", "add its id or its guid")
        return processes

    @model_serializer(mode="wrap")
    def _show_what_is_set(self, show: SerializerFunctionWrapHandler) -> dict[str, object]:
        shown: dict[str, object] = show(self)
        return {name: value for name, value in shown.items() if value is not None and value != []}


class PrivilegeSetting(Section):
    """One entry of ``[[privileges]]``: what the members of a group may do at one place of the portal.

    `syncd.config.lists` says which keys belong together.
    """

    group: Annotated[str, simple(parse_name)]
    database: Annotated[int, Field(ge=1)]
    application: Reference | None = None
    process: Reference | None = None
    workflow: Reference | None = None
    form_type: Reference | None = None
    level: str
    company: Reference | None = None

    @property
    def kind(self) -> PlaceKind:
        """Return what kind of place the rule names."""
        return "application" if self.application else "process" if self.process else "form_type"

    @field_validator("level")
    @classmethod
    def _is_of_the_place(cls, level: str, info: ValidationInfo) -> str:
        given: list[PlaceKind] = [kind for kind in LEVELS if info.data.get(kind)]
        known = LEVELS[given[0]] if len(given) == 1 else (*LEVELS["application"], *LEVELS["process"])
        if level not in known:
            of = f"of {'an' if given == ['application'] else 'a'} {given[0].replace('_', ' ')}" if given else "at all"
            meant = {name.casefold(): name for name in known}.get(suggest(level, [name.casefold() for name in known]))
            choice = ", ".join(dict.fromkeys(known))
            raise Refused(
                f"is no level {of}", f"did you mean {meant}? There are {choice}" if meant else f"use {choice}"
            )
        return level

    @model_serializer(mode="wrap")
    def _show_what_is_set(self, show: SerializerFunctionWrapHandler) -> dict[str, object]:
        shown: dict[str, object] = show(self)
        return {name: value for name, value in shown.items() if value is not None}


class HealthSettings(Section):
    """``[health]``: None means that nothing is served."""

    listen: ListenAt = values.Listen("127.0.0.1", 8080)


class NotifySettings(Section):
    """``[notify]``: the address of a hook is as good as a password, and that of a mail server may hold one."""

    webhook_url: Annotated[Secret, parse_secret(addresses.parse_webhook_url, addresses.show_host_only)] | None = None
    smtp_url: Annotated[Secret, parse_secret(smtp.parse_smtp_url, addresses.show_without_password)] | None = None
    mail_from: Mailbox | None = None
    mail_to: Mailboxes = ()
    events: Events = EVENTS


class LogSettings(Section):
    """``[log]``."""

    format: Annotated[Literal["auto", "json", "console"], BeforeValidator(lower)] = "auto"
    level: Annotated[Literal["debug", "info", "warning", "error", "critical"], BeforeValidator(lower)] = "info"


Licences = Annotated[tuple[LicenceSetting, ...], BeforeValidator(to_tuple)]
Privileges = Annotated[tuple[PrivilegeSetting, ...], BeforeValidator(to_tuple)]

SECTIONS: dict[str, type[Section]] = {
    "graph": GraphSettings,
    "bps": BpsSettings,
    "store": StoreSettings,
    "schedule": ScheduleSettings,
    "scope": ScopeSettings,
    "mapping": MappingSettings,
    "policy": PolicySettings,
    "guard": GuardSettings,
    "health": HealthSettings,
    "web": WebSettings,
    "notify": NotifySettings,
    "log": LogSettings,
}

LISTS: dict[str, tuple[type[Section], Any]] = {
    "licences": (LicenceSetting, Licences),
    "privileges": (PrivilegeSetting, Privileges),
}
"""Lists of rules: one entry of each, and the whole list."""
