"""The four ways to prove to Microsoft Entra ID who we are. Plain values; nothing here is read or sent."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, slots=True)
class ClientSecret:
    """A client secret; ``reveal`` is called for every new token, so a rotated secret file works without a restart."""

    reveal: Callable[[], str] = field(repr=False)
    setting: str = "graph.client_secret"
    """The key by which it was set, for what is told about it."""


@dataclass(frozen=True, slots=True)
class ClientCertificate:
    """A file with private key, certificate and perhaps its chain (PEM or PFX), read anew for every new token.

    ``reveal_password`` opens the private key; None where the file is not encrypted.
    """

    path: Path
    reveal_password: Callable[[], str] | None = field(default=None, repr=False)
    unlock_setting: str = "graph.certificate_password"
    """The key by which the password is set, for what is told about it."""


@dataclass(frozen=True, slots=True)
class FederatedToken:
    """A file in which the platform keeps a short-lived token of its own, read anew for every new token of ours."""

    path: Path


@dataclass(frozen=True, slots=True)
class ManagedIdentity:
    """An identity that Azure gives to the machine or service we run in; ``client_id`` None: the system-assigned one."""

    client_id: str | None = None


Credential = ClientSecret | ClientCertificate | FederatedToken | ManagedIdentity
