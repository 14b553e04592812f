"""Settings: parsed once, frozen, every problem reported together, unknown keys refused, secrets masked."""

from syncd.config.cadence import Cadence, Cron, Interval
from syncd.config.load import load_settings
from syncd.config.mapping import (
    AttributeRule,
    ExpressionRule,
    GroupMapping,
    MappingRule,
    MappingSettings,
    UserMapping,
)
from syncd.config.secret import Secret
from syncd.config.sections import (
    BpsSettings,
    GraphSettings,
    GuardSettings,
    HealthSettings,
    LicenceSetting,
    LogSettings,
    NotifySettings,
    PolicySettings,
    ScheduleSettings,
    ScopeSettings,
    StoreSettings,
)
from syncd.config.settings import Missing, Settings
from syncd.config.values import Listen, QuietHours, format_duration, parse_duration

__all__ = [
    "AttributeRule",
    "BpsSettings",
    "Cadence",
    "Cron",
    "ExpressionRule",
    "GraphSettings",
    "GroupMapping",
    "GuardSettings",
    "HealthSettings",
    "Interval",
    "LicenceSetting",
    "Listen",
    "LogSettings",
    "MappingRule",
    "MappingSettings",
    "Missing",
    "NotifySettings",
    "PolicySettings",
    "QuietHours",
    "ScheduleSettings",
    "ScopeSettings",
    "Secret",
    "Settings",
    "StoreSettings",
    "UserMapping",
    "format_duration",
    "load_settings",
    "parse_duration",
]
