"""Certificates and keys for the tests of sign-in: made once, written as PEM or PFX where a test wants them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    pkcs12,
)

Key = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey


@dataclass(frozen=True, slots=True)
class Issued:
    """A key with its certificate."""

    key: Key
    certificate: x509.Certificate

    @property
    def pem(self) -> bytes:
        """Return the certificate alone."""
        return self.certificate.public_bytes(Encoding.PEM)

    def key_pem(self, password: bytes | None = None) -> bytes:
        """Return the key, encrypted when there is a password."""
        locked = BestAvailableEncryption(password) if password else NoEncryption()
        return self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, locked)

    def pfx(self, password: bytes, *chain: x509.Certificate) -> bytes:
        """Return a PFX file."""
        locked = BestAvailableEncryption(password)
        assert isinstance(self.key, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey)
        return pkcs12.serialize_key_and_certificates(b"syncd", self.key, self.certificate, list(chain), locked)


@cache
def make_key(name: str) -> rsa.RSAPrivateKey:
    """Return the RSA key of that name."""
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def issue(name: str, *, by: Issued | None = None, days: float = 365, key: Key | None = None) -> Issued:
    """Return a certificate that ends in so many days, signed by ``by`` or by itself."""
    own = key or make_key(name)
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(by.certificate.subject if by else subject)
        .public_key(own.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=400))
        .not_valid_after(now + timedelta(days=days))
    )
    return Issued(own, builder.sign(by.key if by else own, SHA256()))
