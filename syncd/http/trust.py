"""Which certificates are trusted, and what to do about one that is not. The same on every version of Python."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Final

_UNKNOWN_ISSUER: Final = frozenset({2, 18, 19, 20, 21})
"""OpenSSL's codes (``openssl verify``, "Diagnostics") for a chain that ends at nobody whom we trust."""
_EXPIRED: Final = 10
_OTHER_NAME: Final = frozenset({62, 64})


def make_ssl_context(ca_file: Path | None) -> ssl.SSLContext:
    """Return a verifying context: the system's authorities and, when given, those of ``ca_file`` (PEM).

    Python 3.13 checks authorities for rules that 3.11 did not (``VERIFY_X509_STRICT``), and many a company's own
    authority lacks an extension that these ask for; it also lets an authority in the middle of a chain be trusted by
    itself (``VERIFY_X509_PARTIAL_CHAIN``). Here neither depends on the version: the first is off, the second on.
    """
    context = ssl.create_default_context()
    flags = context.verify_flags | ssl.VERIFY_X509_TRUSTED_FIRST | ssl.VERIFY_X509_PARTIAL_CHAIN
    context.verify_flags = flags & ~ssl.VERIFY_X509_STRICT
    if ca_file is not None:
        context.load_verify_locations(cafile=str(ca_file))
    return context


def explain_distrust(error: ssl.CertificateError | ssl.SSLError, *, ca_setting: str, address_setting: str) -> str:
    """Return why a certificate is not trusted, and what to do about it, as the end of a sentence."""
    code = getattr(error, "verify_code", 0)
    said = str(getattr(error, "verify_message", "") or error.reason or "it is refused")
    if code == _EXPIRED:
        return f"{said}: renew it on that server, or set the clock of this machine"
    if code in _OTHER_NAME:
        return f"{said}: use the name that stands in it, see {address_setting}"
    if code in _UNKNOWN_ISSUER or not code:
        return f"{said}; name the authority's certificate with {ca_setting}"
    return f"{said}: that is what it, or an authority of {ca_setting}, lacks; have it issued anew"
