"""Settings: parsed once, frozen, every problem reported together, unknown keys refused, secrets masked."""

from syncd.config.cadence import Cadence, Cron, Interval
from syncd.config.load import load_named_places, load_settings
from syncd.config.mapping import (
    AttributeRule,
    ExpressionRule,
    MappingRule,
)
from syncd.config.secret import Secret
from syncd.config.sections import (
    GraphSettings,
    LicenceSetting,
    PrivilegeSetting,
    ScheduleSettings,
)
from syncd.config.settings import Missing, Settings
from syncd.config.values import Listen, QuietHours, format_duration, parse_duration
from syncd.config.web import WebSettings, make_tls

__all__ = [
    "AttributeRule",
    "Cadence",
    "Cron",
    "ExpressionRule",
    "GraphSettings",
    "Interval",
    "LicenceSetting",
    "Listen",
    "MappingRule",
    "Missing",
    "PrivilegeSetting",
    "QuietHours",
    "ScheduleSettings",
    "Secret",
    "Settings",
    "WebSettings",
    "format_duration",
    "load_named_places",
    "load_settings",
    "make_tls",
    "parse_duration",
]
