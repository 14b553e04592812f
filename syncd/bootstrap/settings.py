"""Settings, read and checked, and what follows from them without a connection."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from syncd.config import (
    GraphSettings,
    Missing,
    Settings,
    load_settings,
)
from syncd.model.kinds import RecordKind
from syncd.model.sides import BOTH_SIDES

if TYPE_CHECKING:
    from syncd.graph.credentials import Credential


def read_settings(
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
    return load_settings(config, environ, check_expression=_find_problem, need=need, only=only)


def _find_problem(text: str, entity: RecordKind) -> tuple[str, str] | None:
    """Import what reads expressions when there is one to read."""
    from syncd.plan.cel.expressions import find_problem

    return find_problem(text, entity)


def list_expiring(settings: Settings, now: datetime) -> dict[str, datetime]:
    """Return when the credentials end that end soon, by setting; reads files, sends nothing, raises nothing."""
    ends = list_credential_ends(settings)
    if not ends:
        return {}
    from syncd.graph.checks.credential import NOTICE

    return {name: ends_at for name, ends_at in ends.items() if ends_at - now <= NOTICE}


def list_credential_ends(settings: Settings) -> dict[str, datetime]:
    """Return when each credential ends whose end is known, by setting; reads files, sends nothing, raises nothing."""
    if isinstance(settings.graph_side, Missing) or settings.graph.certificate_file is None:
        return {}
    from syncd.graph.checks.credential import find_end

    ends_at = find_end(make_credential(settings.graph))
    return {} if ends_at is None else {"graph.certificate_file": ends_at}


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
