"""The sandbox's own certificate authority: one CA file for the clients, one leaf for the servers on loopback."""

from __future__ import annotations

import ssl
from pathlib import Path

import trustme


def make_tls(ca_file: Path) -> ssl.SSLContext:
    """Create a CA and a leaf for localhost and 127.0.0.1, write the CA certificate, return the servers' context."""
    authority = trustme.CA(organization_name="syncd sandbox")
    leaf = authority.issue_cert("localhost", "127.0.0.1", "::1")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    leaf.configure_cert(context)
    ca_file.write_bytes(authority.cert_pem.bytes())
    return context
