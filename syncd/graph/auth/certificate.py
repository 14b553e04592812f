"""The certificate that signs our sign-ins: opening PEM and PFX files, and finding in them what belongs together.

Every failure is AuthFailed with one sentence that names the setting; nothing of the file or its password is in it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key, pkcs12

from syncd.config.bounded import read_bounded
from syncd.errors import AuthFailed
from syncd.graph.credentials import ClientCertificate

_SETTING = "graph.certificate_file"
_BYTES_LIMIT = 1 << 20
_REMEDY = "create an RSA key with at least 2048 bits and a certificate for it"


@dataclass(frozen=True, slots=True, kw_only=True)
class SigningCertificate:
    """An RSA key with its certificate; ``chain`` is DER, our own certificate first and then its issuers as found."""

    key: RSAPrivateKey = field(repr=False)
    chain: tuple[bytes, ...]
    thumbprint: bytes
    expires_at: datetime


def load_certificate(credential: ClientCertificate) -> SigningCertificate:
    """Open the file and return the key with the certificate that belongs to it; blocks. Raises AuthFailed.

    Microsoft Entra ID takes RSA signatures only (certificate credentials: PS256, formerly RS256), so other keys are
    refused here, where it can be said. The order of the certificates in the file does not matter.
    """
    content = _read(credential)
    password = _reveal_password(credential)
    open_file = _open_pem if b"-----BEGIN " in content else _open_pfx
    key, certificates = open_file(content, password, credential.unlock_setting)
    if isinstance(key, EllipticCurvePrivateKey):
        raise AuthFailed(f"{_SETTING} holds an EC key, and Microsoft Entra ID accepts RSA only; {_REMEDY}")
    if not isinstance(key, RSAPrivateKey):
        raise AuthFailed(f"{_SETTING} holds no RSA key, and Microsoft Entra ID accepts RSA only; {_REMEDY}")
    try:
        own = _find_own(key, certificates)
        chain = (own, *_list_issuers(own, certificates))
        encoded = tuple(certificate.public_bytes(Encoding.DER) for certificate in chain)
        return SigningCertificate(
            key=key, chain=encoded, thumbprint=own.fingerprint(SHA256()), expires_at=own.not_valid_after_utc
        )
    except ValueError as error:  # names and dates are read only when they are asked for
        raise AuthFailed(f"a certificate in {_SETTING} is malformed; create it anew") from error


def _read(credential: ClientCertificate) -> bytes:
    try:
        content = read_bounded(credential.path, _BYTES_LIMIT)
    except OSError as error:
        raise AuthFailed(f"the certificate cannot be read ({error.strerror}); check {_SETTING}") from error
    if not content.strip() or len(content) > _BYTES_LIMIT:
        problem = "an empty file" if not content.strip() else f"a file of more than {_BYTES_LIMIT} bytes"
        raise AuthFailed(f"{_SETTING} is {problem}; name a PEM or PFX file with private key and certificate")
    return content


def _reveal_password(credential: ClientCertificate) -> bytes | None:
    if credential.reveal_password is None:
        return None
    return credential.reveal_password().encode() or None


def _open_pem(content: bytes, password: bytes | None, setting: str) -> tuple[Any, Sequence[x509.Certificate]]:
    locked = b"-----BEGIN ENCRYPTED PRIVATE KEY-----" in content or b"4,ENCRYPTED" in content
    if locked and password is None:
        raise AuthFailed(f"the private key in {_SETTING} is encrypted; set {setting}")
    try:
        # A password for a key that has none is refused by the library and harmless to us.
        key = load_pem_private_key(content, password if locked else None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        hint = f"check {setting}" if locked else "the file must hold the key as PEM, unencrypted"
        raise AuthFailed(f"the private key in {_SETTING} cannot be opened; {hint}") from error
    try:
        return key, x509.load_pem_x509_certificates(content)
    except ValueError as error:
        raise AuthFailed(
            f"{_SETTING} holds no readable certificate; put private key and certificate into one PEM file"
        ) from error


def _open_pfx(content: bytes, password: bytes | None, setting: str) -> tuple[Any, Sequence[x509.Certificate]]:
    try:
        key, own, others = pkcs12.load_key_and_certificates(content, password)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        hint = f"check {setting}" if password else f"set {setting} if it has one"
        raise AuthFailed(f"{_SETTING} cannot be opened as PEM or PFX; {hint}") from error
    if key is None:
        raise AuthFailed(f"{_SETTING} holds no private key; export the PFX file together with its key")
    return key, [certificate for certificate in (own, *others) if certificate is not None]


def _find_own(key: RSAPrivateKey, certificates: Sequence[x509.Certificate]) -> x509.Certificate:
    """Return the certificate of the key; of several (a renewal beside the old one) the one that lasts longest."""
    public = key.public_key()
    own = [certificate for certificate in certificates if _read_public_key(certificate) == public]
    if not own:
        raise AuthFailed(
            f"none of the {len(certificates)} certificates in {_SETTING} belongs to its private key; "
            "put the key and its own certificate into the file"
        )
    return max(own, key=lambda certificate: certificate.not_valid_after_utc)


def _read_public_key(certificate: x509.Certificate) -> object:
    try:
        return certificate.public_key()
    except (ValueError, UnsupportedAlgorithm):
        return None  # a kind of key that is not ours


def _list_issuers(own: x509.Certificate, certificates: Sequence[x509.Certificate]) -> list[x509.Certificate]:
    """Return the issuers of ``own`` that are in the file, each signed by the next; what does not belong stays out."""
    found: list[x509.Certificate] = []
    last = own
    while last.issuer != last.subject:
        issuer = next((one for one in certificates if one not in found and _is_issued_by(last, one)), None)
        if issuer is None:
            break
        found.append(issuer)
        last = issuer
    return found


def _is_issued_by(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm):
        return False
    return True
