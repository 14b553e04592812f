"""What the imitation login host thinks of a client assertion: a JWT signed by a certificate, or by somebody trusted.

Modelled on the identity platform's "Certificate credentials" and "Workload identity federation": PS256 or RS256,
``x5t#S256`` or ``x5t`` names a registered certificate, ``x5c`` lets a trusted subject stand for it, and a federated
token must match issuer, subject and audience of a registered federation. Refusals carry the numbers of the error
reference: 50027 malformed, 700021 and 700027 signature or certificate, 700024 time, 700030 subject, 7002xx federation.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import msgspec
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.padding import MGF1, PSS, AsymmetricPadding, PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding

from syncd.clock import Clock
from syncd.errors import SyncdError

ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
FEDERATION_AUDIENCE = "api://AzureADTokenExchange"
_LEEWAY_SECONDS = 300.0


class Untrusted(SyncdError):
    """An assertion that is not accepted: the AADSTS number and its text."""

    def __init__(self, number: int, text: str) -> None:
        super().__init__(text)
        self.number = number
        self.text = text


@dataclass(frozen=True, slots=True)
class Federation:
    """A federated credential: whose tokens are accepted in place of a secret."""

    issuer: str
    subject: str
    key: RSAPublicKey
    audience: str = FEDERATION_AUDIENCE


@dataclass(slots=True)
class Trust:
    """What the application has registered. ``subjects`` are common names that any chain to ``authorities`` may bear."""

    certificates: list[x509.Certificate] = field(default_factory=list)
    subjects: set[str] = field(default_factory=set)
    authorities: list[x509.Certificate] = field(default_factory=list)
    federations: list[Federation] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Assertion:
    header: Mapping[str, Any]
    claims: Mapping[str, Any]
    signed: bytes
    signature: bytes


def check_assertion(text: str, trust: Trust, *, client_id: str, audiences: Collection[str], clock: Clock) -> None:
    """Return if the assertion proves that its sender is the application; raises Untrusted."""
    assertion = _parse(text)
    claims = assertion.claims
    if claims.get("iss") == client_id:
        _check_certificate(assertion, trust, client_id=client_id, clock=clock)
        _check_times(claims, clock)
        if claims.get("sub") != client_id:
            raise Untrusted(700021, "Client assertion application identifier doesn't match 'client_id' parameter.")
        if claims.get("aud") not in audiences:
            raise Untrusted(700023, "Client assertion audience claim does not match Realm issuer.")
        return
    _check_federation(assertion, trust)
    _check_times(claims, clock)


def _parse(text: str) -> _Assertion:
    parts = text.split(".")
    try:
        header, claims, signature = (base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)) for part in parts)
        read = [msgspec.json.decode(part, type=dict[str, Any]) for part in (header, claims)]
    except (ValueError, msgspec.MsgspecError):
        raise Untrusted(50027, "JWT token is invalid or malformed.") from None
    return _Assertion(read[0], read[1], ".".join(parts[:2]).encode(), signature)


def _check_times(claims: Mapping[str, Any], clock: Clock) -> None:
    now, ends, begins = clock.now().timestamp(), claims.get("exp"), claims.get("nbf", claims.get("iat", 0))
    if (
        not isinstance(ends, int | float)
        or not isinstance(begins, int | float)
        or not begins - _LEEWAY_SECONDS <= now <= ends + _LEEWAY_SECONDS
    ):
        raise Untrusted(700024, "Client assertion is not within its valid time range.")


def _check_certificate(assertion: _Assertion, trust: Trust, *, client_id: str, clock: Clock) -> None:
    header = assertion.header
    certificate = _find_registered(header, trust) or _find_by_subject(header, trust)
    if certificate is None:
        thumbprint = header.get("x5t#S256") or header.get("x5t") or "none"
        raise Untrusted(
            700027,
            f"The certificate with identifier used to sign the client assertion is not registered on application. "
            f"[Reason - The key was not found., Thumbprint of key used by client: '{thumbprint}'] for '{client_id}'.",
        )
    key = certificate.public_key()
    if not isinstance(key, RSAPublicKey) or not _is_signed(assertion, key):
        raise Untrusted(700027, "Client assertion failed signature validation.")
    if clock.now() > certificate.not_valid_after_utc:
        raise Untrusted(700027, "The certificate used to sign the client assertion is expired on application.")


def _find_registered(header: Mapping[str, Any], trust: Trust) -> x509.Certificate | None:
    for certificate in trust.certificates:
        der = certificate.public_bytes(Encoding.DER)
        prints = {"x5t#S256": hashlib.sha256(der).digest(), "x5t": hashlib.sha1(der, usedforsecurity=False).digest()}
        for name, digest in prints.items():
            # The padding that the standard forbids is accepted: Microsoft's own libraries send it.
            if str(header.get(name)).rstrip("=") == base64.urlsafe_b64encode(digest).rstrip(b"=").decode():
                return certificate
    return None


def _find_by_subject(header: Mapping[str, Any], trust: Trust) -> x509.Certificate | None:
    """Return the first certificate of ``x5c`` when its chain leads to a trusted authority and its subject is known."""
    sent = header.get("x5c")
    if not isinstance(sent, list) or not sent or not trust.subjects:
        return None
    try:
        chain = [x509.load_der_x509_certificate(base64.b64decode(one)) for one in sent]
        for inner, outer in pairwise(chain):
            inner.verify_directly_issued_by(outer)
    except (ValueError, TypeError, InvalidSignature):
        raise Untrusted(50027, "JWT token is invalid or malformed: x5c.") from None
    if not any(_is_issued_by(chain[-1], authority) for authority in trust.authorities):
        return None
    names = {str(name.value) for name in chain[0].subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)}
    if names.isdisjoint(trust.subjects):
        raise Untrusted(700030, "Invalid certificate - subject name in certificate is not authorized.")
    return chain[0]


def _is_issued_by(certificate: x509.Certificate, authority: x509.Certificate) -> bool:
    if certificate == authority:
        return True
    try:
        certificate.verify_directly_issued_by(authority)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def _check_federation(assertion: _Assertion, trust: Trust) -> None:
    claims = assertion.claims
    issued = [one for one in trust.federations if one.issuer == claims.get("iss")]
    if not issued:
        issuer = claims.get("iss")
        raise Untrusted(700211, f"No matching federated identity record found for presented issuer '{issuer}'.")
    same = [one for one in issued if one.subject == claims.get("sub")]
    if not same:
        raise Untrusted(700213, "No matching federated identity record found for presented assertion subject.")
    meant = [one for one in same if one.audience == claims.get("aud")]
    if not meant:
        raise Untrusted(700212, "No matching federated identity record found for presented assertion audience.")
    if not any(_is_signed(assertion, one.key) for one in meant):
        raise Untrusted(700027, "Client assertion failed signature validation.")


def _is_signed(assertion: _Assertion, key: RSAPublicKey) -> bool:
    paddings: dict[str, AsymmetricPadding] = {"PS256": PSS(MGF1(SHA256()), 32), "RS256": PKCS1v15()}
    padding = paddings.get(str(assertion.header.get("alg")))
    if padding is None:
        return False
    try:
        key.verify(assertion.signature, assertion.signed, padding, SHA256())
    except InvalidSignature:
        return False
    return True
