"""All settings as one frozen value. The two sides may be left out by commands that only need the store."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import Field

from syncd.config.base import Section
from syncd.config.mapping import MappingSettings
from syncd.config.secret import Secret
from syncd.config.sections import (
    BpsSettings,
    GraphSettings,
    GuardSettings,
    HealthSettings,
    Licences,
    LogSettings,
    NotifySettings,
    PolicySettings,
    Privileges,
    ScheduleSettings,
    ScopeSettings,
    StoreSettings,
)
from syncd.config.web import WebSettings
from syncd.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Missing:
    """A side that is not configured, and what it lacks."""

    problems: tuple[str, ...]


class Settings(Section):
    """The settings of one process; ``load_settings`` makes them. Equal settings say the same in every key."""

    graph_side: GraphSettings | Missing
    bps_side: BpsSettings | Missing
    store: StoreSettings = Field(default_factory=StoreSettings)
    schedule: ScheduleSettings = Field(default_factory=ScheduleSettings)
    scope: ScopeSettings = Field(default_factory=ScopeSettings)
    mapping: MappingSettings = Field(default_factory=MappingSettings)
    policy: PolicySettings = Field(default_factory=PolicySettings)
    guard: GuardSettings = Field(default_factory=GuardSettings)
    licences: Licences = ()
    privileges: Privileges = ()
    health: HealthSettings = Field(default_factory=HealthSettings)
    web: WebSettings = Field(default_factory=WebSettings)
    notify: NotifySettings = Field(default_factory=NotifySettings)
    log: LogSettings = Field(default_factory=LogSettings)
    source: Mapping[str, str] = Field(default_factory=dict)
    set_aside: tuple[str, ...] = ()
    """Problems of sections that the command can do without: these have their defaults."""
    file: Path | None = None

    @property
    def graph(self) -> GraphSettings:
        """Return the Entra side; ``ConfigError`` with everything it lacks when it is not configured."""
        if isinstance(self.graph_side, Missing):
            raise ConfigError(self.graph_side.problems)
        return self.graph_side

    @property
    def bps(self) -> BpsSettings:
        """Return the portal's side; ``ConfigError`` with everything it lacks when it is not configured."""
        if isinstance(self.bps_side, Missing):
            raise ConfigError(self.bps_side.problems)
        return self.bps_side

    def list_secrets(self) -> tuple[str, ...]:
        """Return every secret of these settings, of all sections, as it is now; of addresses as a whole."""
        sections = [value for _, value in self if isinstance(value, Section)]
        return tuple(value.reveal() for section in sections for _, value in section if isinstance(value, Secret))

    def effective(self) -> dict[str, object]:
        """Return every key with its value in force, ready for JSON, secrets masked; a missing side is None."""
        sides = (("graph", self.graph_side), ("bps", self.bps_side))
        own = self.model_dump(mode="json", exclude={"graph_side", "bps_side", "source", "file", "set_aside"})
        return {
            **{name: None if isinstance(side, Missing) else side.model_dump(mode="json") for name, side in sides},
            **own,
        }
