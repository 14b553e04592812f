"""Files that settings point to: they must be there and be what they are said to be when the settings are read."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationInfo

from syncd.config.base import Surroundings
from syncd.config.bounded import read_bounded
from syncd.config.problem import Absent, Refused, file_failure
from syncd.config.values import expect_text

MAX_FILE_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True)
class SecretFile:
    """A secret that was given as ``x_file``; the path as it was written."""

    path: object


def resolve(value: object, info: ValidationInfo) -> Path:
    """Return the path, taken from the working directory when it is relative; ``~`` is the home directory."""
    text = expect_text(value)
    if not text:
        raise Refused("is empty", "name a file")
    if "\n" in text or "\0" in text:
        raise Refused("is no path", "name a file instead of giving its content")
    path = Path(text)
    return info.context.cwd / path if isinstance(info.context, Surroundings) else path


def read(path: Path) -> bytes:
    """Return the content of a file that must be there, of at most ``MAX_FILE_BYTES``."""
    try:
        content = read_bounded(path, MAX_FILE_BYTES)
    except (OSError, ValueError) as error:
        raise Absent(file_failure(error), "name a file that this user may read") from None
    if not content.strip():
        raise Absent("is an empty file", "name a file with content")
    if len(content) > MAX_FILE_BYTES:
        raise Refused(f"holds more than {MAX_FILE_BYTES} bytes", "name the right file")
    return content


def parse_ca_file(value: object, info: ValidationInfo) -> Path:
    """Return a file of PEM certificates that the TLS library can load."""
    path = resolve(value, info)
    read(path)
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cafile=path)
    except ssl.SSLError:
        raise Refused("holds no PEM certificate", "name a file with -----BEGIN CERTIFICATE----- in it") from None
    return path


def parse_certificate_file(value: object, info: ValidationInfo) -> Path:
    """Return a PEM file with private key and certificate, or a PFX file (its content is opened at sign-in)."""
    path = resolve(value, info)
    content = read(path)
    if b"-----BEGIN " in content:
        if b"PRIVATE KEY-----" not in content:
            raise Refused("holds no private key", "put the private key and the certificate into one PEM file")
        if b"-----BEGIN CERTIFICATE-----" not in content:
            raise Refused("holds no certificate", "put the private key and the certificate into one PEM file")
    return path


def parse_token_file(value: object, info: ValidationInfo) -> Path:
    """Return the file in which the platform keeps the federated token; it is read again at each sign-in."""
    path = resolve(value, info)
    read(path)
    return path
