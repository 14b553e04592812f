"""Settings, read and checked, and what follows from them without a connection."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime, time
from pathlib import Path
from typing import TYPE_CHECKING

from syncd.config import (
    GraphSettings,
    Missing,
    Settings,
    load_settings,
)
from syncd.model.kinds import RecordKind, RulePurpose
from syncd.model.sides import BOTH_SIDES
from syncd.store.store import Store

if TYPE_CHECKING:
    from syncd.graph.credentials import Credential
    from syncd.store.db.database import Database


def read_settings(
    config: Path | None,
    environ: Mapping[str, str],
    *,
    need: frozenset[str] = BOTH_SIDES,
    only: frozenset[str] | None = None,
    option: str = "--config",
) -> Settings:
    """Return the settings; raises ConfigError with every problem at once.

    ``need`` names the sides without which the command cannot work; what only they lack is not held against the others.
    ``only`` names the sections that must be right; the others have their defaults where something is wrong in them.
    ``option``: what named the file on the command line.
    """
    return load_settings(config, environ, check_expression=_find_problem, need=need, only=only, option=option)


def _find_problem(text: str, entity: RecordKind, purpose: RulePurpose) -> tuple[str, str] | None:
    """Import what reads expressions when there is one to read."""
    from syncd.plan.cel.expressions import find_problem

    return find_problem(text, entity, purpose)


def list_expiring(settings: Settings, database: Database, now: datetime) -> dict[str, datetime]:
    """Return when the credentials end that end soon or have ended, by setting; reads files and the store.

    Nothing is sent. Raises StoreError.
    """
    ends = list_credential_ends(settings, database, now)
    if not ends:
        return {}
    from syncd.graph.checks.credential import NOTICE

    return {name: ends_at for name, ends_at in ends.items() if ends_at - now <= NOTICE}


def list_credential_ends(settings: Settings, database: Database, now: datetime) -> dict[str, datetime]:
    """Return when each credential ends whose end is known, by setting; reads files and the store, sends nothing.

    What the tenant told of the client secret counts more than ``graph.client_secret_expires``. Raises StoreError.
    """
    found: dict[str, datetime | None] = {}
    if not isinstance(settings.graph_side, Missing):
        graph = settings.graph
        if graph.client_secret is not None:
            told = Store(database).secret_ends.load.blocking(graph.client_id or "", now=now)
            name = graph.client_secret.name_key("graph.client_secret")
            found[name] = told or find_day(graph.client_secret_expires)
        elif graph.certificate_file is not None:
            from syncd.graph.checks.credential import find_end

            found["graph.certificate_file"] = find_end(make_credential(graph))
    if not isinstance(settings.bps_side, Missing):
        bps = settings.bps
        found[bps.client_secret.name_key("bps.client_secret")] = find_day(bps.client_secret_expires)
    return {name: ends_at for name, ends_at in found.items() if ends_at is not None}


def find_day(day: date | None) -> datetime | None:
    """Return the first moment at which a credential may be over that ends on a day: its beginning in UTC."""
    return None if day is None else datetime.combine(day, time(), UTC)


def make_credential(graph: GraphSettings) -> Credential:
    """Return the credential that the settings name; nothing is read yet."""
    from syncd.graph.credentials import ClientCertificate, ClientSecret, FederatedToken, ManagedIdentity

    if graph.client_secret is not None:
        return ClientSecret(graph.client_secret.reveal, graph.client_secret.name_key("graph.client_secret"))
    if graph.certificate_file is not None:
        password = graph.certificate_password
        if password is None:
            return ClientCertificate(graph.certificate_file)
        name = password.name_key("graph.certificate_password")
        return ClientCertificate(graph.certificate_file, password.reveal, name)
    if graph.federated_token_file is not None:
        return FederatedToken(graph.federated_token_file)
    chosen = graph.managed_identity or "system"
    return ManagedIdentity(None if chosen.lower() == "system" else chosen)
