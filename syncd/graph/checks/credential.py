"""When the credential ends, as far as that can be known from here, and what to tell about it ahead of time."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import assert_never

from syncd.errors import AuthFailed
from syncd.graph.auth.certificate import load_certificate
from syncd.graph.checks.result import Probe
from syncd.graph.credentials import ClientCertificate, ClientSecret, Credential, FederatedToken, ManagedIdentity

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


def probe_credential(credential: Credential, now: datetime) -> Probe:
    """Say when the credential ends and what to do about it; blocks. Sends nothing and raises nothing."""
    match credential:
        case ClientSecret():
            return Probe(
                _CHECK,
                "unknown",
                detail="a client secret; Microsoft Entra ID does not tell when it expires",
                remedy="look under App registrations, Certificates & secrets, and note the date "
                "(a certificate's end is seen)",
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
            _CHECK, "failed", detail=str(error), remedy="correct graph.certificate_file or graph.certificate_password"
        )
    rest, day = expires_at - now, f"{expires_at:%Y-%m-%d %H:%M} UTC"
    remedy = "register a new certificate with the application, then replace graph.certificate_file (no restart needed)"
    if rest <= timedelta():
        return Probe(_CHECK, "failed", detail=f"the certificate expired at {day}", remedy=remedy)
    if rest <= NOTICE:
        return Probe(_CHECK, "warning", detail=f"the certificate expires in {rest.days} days, at {day}", remedy=remedy)
    return Probe(_CHECK, "ok", detail=f"the certificate is good until {day}")
