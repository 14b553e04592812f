"""When the credential ends, as far as that can be known from here, and what to tell about it ahead of time."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import assert_never

from syncd.errors import AuthFailed, Forbidden, RemoteError
from syncd.graph.application import PERMISSION, fetch_secret_end
from syncd.graph.auth.certificate import load_certificate
from syncd.graph.checks.result import PATIENCE, Probe
from syncd.graph.client import GraphClient
from syncd.graph.credentials import ClientCertificate, ClientSecret, Credential, FederatedToken, ManagedIdentity
from syncd.model.credential import tell_days

NOTICE = timedelta(days=30)
"""So long before its end a certificate is worth a warning."""

_CHECK = "graph.credential"


def find_end(credential: Credential) -> datetime | None:
    """Return when the certificate ends; blocks. A file that cannot be read tells nothing."""
    if not isinstance(credential, ClientCertificate):
        return None
    try:
        return load_certificate(credential).expires_at
    except AuthFailed:
        return None  # every run and 'syncd check' say so


async def probe_secret(
    client: GraphClient, known: datetime | None, *, now: datetime, setting: str = "graph.client_secret"
) -> Probe:
    """Say when the client secret ends, by our own record in the tenant where we may read it, else as ``known``.

    ``setting``: the key by which it was set. Raises no RemoteError.
    """
    try:
        found = await fetch_secret_end(client, now=now, retry=PATIENCE)
        said = "the own application tells of no secret that begins like this one"
    except Forbidden:
        found, said = None, f"the own application may not be read ({PERMISSION} is optional)"
    except RemoteError as error:
        found, said = None, f"the own application could not be read: {error}"
    if found is not None:
        said = "by the application's own record"
        if known is not None and known.date() != found.ends_at.date():
            said += f"; graph.client_secret_expires says {known:%Y-%m-%d}, and does not count"
        return judge_secret(_CHECK, setting, found.ends_at, now=now, said=said)
    if known is not None:
        return judge_secret(_CHECK, setting, known, now=now, said=f"by graph.client_secret_expires; {said}")
    return Probe(
        _CHECK,
        "unknown",
        detail=f"a client secret, and nobody tells when it ends: {said}",
        remedy="note the date as graph.client_secret_expires (App registrations, Certificates & secrets), "
        f"or grant {PERMISSION}",
    )


def judge_secret(check: str, setting: str, ends_at: datetime, *, now: datetime, said: str) -> Probe:
    """Say of a secret whose end is known what to do about it."""
    rest, day = ends_at - now, f"{ends_at:%Y-%m-%d %H:%M} UTC"
    remedy = f"make a new one, then replace {setting} and its date ({setting}_file is read without a restart)"
    if setting.endswith("_file"):
        remedy = f"make a new one, write it into {setting} (read without a restart), and correct its date"
    if rest <= timedelta():
        return Probe(check, "failed", detail=f"the client secret ended at {day}, {said}", remedy=remedy)
    if rest <= NOTICE:
        return Probe(
            check, "warning", detail=f"the client secret ends in {tell_days(rest)}, at {day}, {said}", remedy=remedy
        )
    return Probe(check, "ok", detail=f"the client secret is good until {day}, {said}")


def probe_credential(credential: Credential, known: datetime | None, *, now: datetime) -> Probe:
    """Say when the credential ends and what to do about it; blocks. Sends nothing and raises nothing.

    ``known``: when a client secret ends by the settings.
    """
    match credential:
        case ClientSecret():
            if known is not None:
                said = "by graph.client_secret_expires"
                return judge_secret(_CHECK, credential.setting, known, now=now, said=said)
            return Probe(
                _CHECK,
                "unknown",
                detail="a client secret, and nobody tells when it ends",
                remedy="note the date as graph.client_secret_expires (App registrations, Certificates & secrets)",
            )
        case FederatedToken():
            return Probe(_CHECK, "ok", detail="a federated token, which the platform renews")
        case ManagedIdentity():
            return Probe(_CHECK, "ok", detail="a managed identity, which has nothing to renew")
        case ClientCertificate():
            return _probe_certificate(credential, now)
        case _:
            assert_never(credential)


def _probe_certificate(credential: ClientCertificate, now: datetime) -> Probe:
    try:
        expires_at = load_certificate(credential).expires_at
    except AuthFailed as error:
        return Probe(
            _CHECK,
            "failed",
            detail=str(error),
            remedy=f"correct graph.certificate_file or {credential.unlock_setting}",
        )
    rest, day = expires_at - now, f"{expires_at:%Y-%m-%d %H:%M} UTC"
    remedy = "register a new certificate with the application, then replace graph.certificate_file (no restart needed)"
    if rest <= timedelta():
        return Probe(_CHECK, "failed", detail=f"the certificate expired at {day}", remedy=remedy)
    if rest <= NOTICE:
        return Probe(_CHECK, "warning", detail=f"the certificate expires in {rest.days} days, at {day}", remedy=remedy)
    return Probe(_CHECK, "ok", detail=f"the certificate is good until {day}")
