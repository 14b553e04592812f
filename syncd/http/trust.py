"""Which certificates are trusted, and what to do about one that is not. The same on every version of Python."""

from __future__ import annotations

import ssl
from functools import lru_cache
from pathlib import Path
from typing import Final

_UNKNOWN_ISSUER: Final = frozenset({2, 18, 19, 20, 21})
"""OpenSSL's codes (``openssl verify``, "Diagnostics") for a chain that ends at nobody whom we trust."""
_EXPIRED: Final = 10
_OTHER_NAME: Final = frozenset({62, 64})


def load_ssl_context(ca_file: Path | None) -> ssl.SSLContext:
    """Return what `make_ssl_context` does, the same one as long as the files that it is made from are the same.

    Reading the system's authorities costs a tenth of a second of processor time, and a daemon opens both sides for each
    run. The context is shared: it is not to be changed.
    """
    system = ssl.get_default_verify_paths()
    sources = (system.cafile, system.capath, None if ca_file is None else str(ca_file))
    return _make_known(ca_file, tuple((source, _identify(source)) for source in sources))


@lru_cache(maxsize=16)
def _make_known(ca_file: Path | None, _sources: object) -> ssl.SSLContext:
    return make_ssl_context(ca_file)


def _identify(source: str | None) -> tuple[int, ...]:
    """Return what changes with a file, or with a folder of links to certificates; nothing where there is none."""
    try:
        found = Path(source or "").stat()
    except OSError:
        return ()
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns


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
