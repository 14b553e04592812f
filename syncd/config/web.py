"""``[web]``: the console, off unless ``listen`` is set; and what no single key of it can tell."""

from __future__ import annotations

import re
import ssl
from collections.abc import Iterator, Mapping
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Literal

from pydantic import ValidationInfo

from syncd.config import files, values
from syncd.config.addresses import refuse_extras, split_address
from syncd.config.base import Parsed, Section, simple
from syncd.config.problem import Problem, Refused
from syncd.config.secret import Secret
from syncd.config.secret_values import parse_secret

_GUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
TOKEN_LENGTH = 24
"""A shorter token could be guessed."""


def is_loopback(host: str) -> bool:
    """Return whether only this machine reaches a host of that name."""
    if host.casefold() == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def _parse_external_url(value: object) -> str:
    example = "https://syncd.example.com"
    parts = split_address(value, example)
    refuse_extras(parts, example)
    if parts.path.strip("/"):
        raise Refused("has a path", "give the console a host name, or a port, of its own")
    if parts.scheme != "https" and not is_loopback(parts.hostname or ""):
        raise Refused("is not https", "browsers keep the session only over https; http is for localhost alone")
    return f"{parts.scheme}://{parts.netloc.lower()}"


def _parse_ids(value: object) -> tuple[str, ...]:
    ids = tuple(dict.fromkeys(name.lower() for name in values.parse_names(value)))
    if not all(map(_GUID.fullmatch, ids)):
        raise Refused(
            "names somebody by something else than an id",
            "copy the object id of the user or group from the Entra admin centre: a name can be given to another one",
        )
    return ids


def _check_token(text: str) -> str:
    token = text.strip()
    if len(token) < TOKEN_LENGTH or not token.isascii() or not token.isprintable() or " " in token:
        raise Refused(
            f"is no token of at least {TOKEN_LENGTH} letters and digits", "make one with 'openssl rand -hex 32'"
        )
    return token


def _parse_tls_file(value: object, info: ValidationInfo) -> Path:
    path = files.resolve(value, info)
    if b"-----BEGIN " not in files.read(path):
        raise Refused("is no PEM file", "name a file with -----BEGIN in it")
    return path


TlsFile = Annotated[Path, Parsed(_parse_tls_file)]
Ids = Annotated[tuple[str, ...], simple(_parse_ids, list)]


class WebSettings(Section):
    """``[web]``: None for ``listen`` means that there is no console."""

    listen: Annotated[values.Listen | None, simple(values.parse_listen, values.format_optional)] = None
    tls_certificate_file: TlsFile | None = None
    tls_key_file: TlsFile | None = None
    allow_http: bool = False
    external_url: Annotated[str, simple(_parse_external_url)] | None = None
    sign_in: Literal["entra", "token"] = "entra"
    client_id: Annotated[str, simple(values.parse_identifier)] | None = None
    client_secret: Annotated[Secret, parse_secret()] | None = None
    viewers: Ids = ()
    approvers: Ids = ()
    token: Annotated[Secret, parse_secret(_check_token)] | None = None


def check_web(raw: Mapping[str, object], web: WebSettings | None, *, graph_client: object) -> list[Problem]:
    """Return what is wrong with ``[web]`` as a whole: nothing as long as there is no console.

    ``raw``: what was written, ``web``: what was made of it, None where a single key was refused.
    """
    if not str(raw.get("listen", "")).strip():
        return []
    found = [*_check_transport(raw), *_check_sign_in(raw, graph_client)]
    if web is not None and web.tls_certificate_file and web.tls_key_file:
        try:
            make_tls(web.tls_certificate_file, web.tls_key_file)
        except (OSError, ssl.SSLError):
            found.append(
                Problem(
                    "web.tls_key_file",
                    "does not belong to web.tls_certificate_file, or has a password",
                    remedy="name the key, without a password, of the first certificate in that file",
                )
            )
    return found


def make_tls(certificate: Path, key: Path) -> ssl.SSLContext:
    """Return what a server needs to answer over TLS 1.2 and later; raises OSError or SSLError."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(certificate, key, password=lambda: "")
    return context


def _check_transport(raw: Mapping[str, object]) -> Iterator[Problem]:
    pair = ("tls_certificate_file", "tls_key_file")
    given = [name for name in pair if raw.get(name)]
    if len(given) == 1:
        missing = next(name for name in pair if name not in given)
        yield Problem(f"web.{missing}", f"is missing beside {given[0]}", remedy="set both, or neither", absent=True)
    if given and raw.get("allow_http") is True:
        yield Problem(
            "web.allow_http", "is given together with a certificate", remedy="keep one of the two: TLS here or before"
        )
    if not given and raw.get("allow_http") is not True:
        yield Problem(
            "web.listen",
            "would send names and sessions over the network in clear",
            remedy="set tls_certificate_file and tls_key_file, or allow_http = true behind a proxy that does TLS",
        )


def _check_sign_in(raw: Mapping[str, object], graph_client: object) -> Iterator[Problem]:
    if raw.get("sign_in", "entra") == "token":
        if not raw.get("token"):
            yield Problem(
                "web.token_file",
                'is missing, and sign_in = "token" needs it',
                remedy="write a token into a file ('openssl rand -hex 32') and name it",
                absent=True,
            )
        for name in ("viewers", "approvers"):
            if raw.get(name):
                yield Problem(
                    f"web.{name}",
                    'says nothing with sign_in = "token"',
                    remedy='remove it (whoever has the token is the approver), or set sign_in = "entra"',
                )
        return
    for name, what in (
        ("client_id", "the id of the application that people sign in to"),
        ("client_secret", "a secret of that application, or client_secret_file"),
        ("external_url", "the address by which people reach the console; Entra ID sends them back to it"),
    ):
        if not raw.get(name):
            remedy = f'set {what}; or sign_in = "token" for a first look'
            yield Problem(f"web.{name}", 'is missing, and sign_in = "entra" needs it', remedy=remedy, absent=True)
    if not raw.get("viewers") and not raw.get("approvers"):
        yield Problem(
            "web.approvers",
            "is empty, and so is viewers: nobody could sign in",
            remedy="list the object ids of Entra groups or users",
            absent=True,
        )
    client = raw.get("client_id")
    if client and isinstance(graph_client, str) and str(client).strip().lower() == graph_client.strip().lower():
        yield Problem(
            "web.client_id",
            "is that of [graph], which reads the whole tenant",
            remedy="register an application of its own for signing in",
        )
    if raw.get("token"):
        yield Problem(
            "web.token_file", 'says nothing with sign_in = "entra"', remedy='remove it, or set sign_in = "token"'
        )


WEB_SECRETS = frozenset({"client_secret", "token"})
