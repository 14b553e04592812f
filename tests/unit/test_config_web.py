"""What is wrong with ``[web]`` is said at the start, by key and with the way out; without an address it is off."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from syncd.config import Settings, load_settings
from syncd.errors import ConfigError
from syncd.model.sides import BOTH_SIDES
from tests.contract.certificates import issue

ID = "0f0e0d0c-0b0a-4908-8706-050403020100"
TOKEN = {"listen": "0.0.0.0:8443", "allow_http": True, "sign_in": "token", "token": "t" * 32}
ENTRA = {
    "listen": "0.0.0.0:8443",
    "allow_http": True,
    "external_url": "https://syncd.example.com",
    "client_id": "console",
    "client_secret": "secret",
    "approvers": [ID],
}
BASE = {
    "SYNCD_GRAPH__TENANT_ID": "tenant.example",
    "SYNCD_GRAPH__CLIENT_ID": "graph-client",
    "SYNCD_GRAPH__CLIENT_SECRET": "graph-secret",
    "SYNCD_BPS__PORTAL_URL": "https://portal.example",
    "SYNCD_BPS__CLIENT_ID": "bps-client",
    "SYNCD_BPS__CLIENT_SECRET": "bps-secret",
}
Load = Callable[..., Settings]


@pytest.fixture
def load(tmp_path: Path) -> Load:
    """Load settings whose ``[web]`` is given as values; None leaves a key out."""
    for name in ("one", "other"):
        made = issue(name)
        (tmp_path / f"{name}.pem").write_bytes(made.pem)
        (tmp_path / f"{name}.key").write_bytes(made.key_pem())
    (tmp_path / "locked.key").write_bytes(issue("one").key_pem(b"password"))
    (tmp_path / "empty").write_bytes(b"")
    (tmp_path / "short").write_text("short")

    def make(keys: Mapping[str, object], need: frozenset[str] = BOTH_SIDES) -> Settings:
        lines = [f"{name} = {to_toml(value)}" for name, value in keys.items() if value is not None]
        file = tmp_path / "own.toml"
        file.write_text("\n".join(["[web]", *lines]), encoding="utf-8")
        return load_settings(file, BASE, cwd=tmp_path, need=need)

    return make


def to_toml(value: object) -> str:
    """Return a value as TOML."""
    if isinstance(value, bool):
        return str(value).lower()
    return f"[{', '.join(map(to_toml, value))}]" if isinstance(value, list) else f'"{value}"'


@pytest.mark.parametrize("keys", [TOKEN, ENTRA, {**ENTRA, "approvers": None, "viewers": [ID]}])
def test_both_ways_of_signing_in_are_complete_as_the_manual_shows_them(load: Load, keys: dict[str, object]) -> None:
    """Nothing more is needed."""
    assert str(load(keys).web.listen) == "0.0.0.0:8443"


def test_a_certificate_with_its_key_is_enough(load: Load) -> None:
    """Instead of a proxy."""
    web = load({**TOKEN, "allow_http": None, "tls_certificate_file": "one.pem", "tls_key_file": "one.key"}).web
    assert web.tls_key_file is not None
    assert not web.allow_http


@pytest.mark.parametrize("keys", [{}, {"listen": ""}, {"listen": "", "sign_in": "token"}, {"viewers": [ID]}])
def test_without_an_address_nothing_is_missing(load: Load, keys: dict[str, object]) -> None:
    """The console is off."""
    assert load(keys).web.listen is None


TLS = {"allow_http": None, "tls_certificate_file": "one.pem", "tls_key_file": "one.key"}


@pytest.mark.parametrize(
    ("base", "changes", "key", "said"),
    [
        (TOKEN, {"allow_http": None}, "web.listen", "in clear"),
        (TOKEN, {"allow_http": False}, "web.listen", "behind a proxy"),
        (TOKEN, {"tls_certificate_file": "one.pem", "tls_key_file": "one.key"}, "web.allow_http", "keep one"),
        (TOKEN, {**TLS, "tls_key_file": None}, "web.tls_key_file", "missing beside tls_certificate_file"),
        (TOKEN, {**TLS, "tls_certificate_file": None}, "web.tls_certificate_file", "missing beside tls_key_file"),
        (TOKEN, {**TLS, "tls_key_file": "other.key"}, "web.tls_key_file", "does not belong"),
        (TOKEN, {**TLS, "tls_key_file": "locked.key"}, "web.tls_key_file", "password"),
        (TOKEN, {**TLS, "tls_key_file": "nowhere.key"}, "web.tls_key_file", "cannot be read"),
        (TOKEN, {**TLS, "tls_certificate_file": "short"}, "web.tls_certificate_file", "no PEM file"),
        (TOKEN, {"token": None}, "web.token_file", "openssl rand"),
        (TOKEN, {"token": "short"}, "web.token", "at least 24"),
        (TOKEN, {"token": None, "token_file": "empty"}, "web.token_file", "empty file"),
        (TOKEN, {"token": None, "token_file": "short"}, "web.token_file", "at least 24"),
        (TOKEN, {"approvers": [ID]}, "web.approvers", "remove it"),
        (TOKEN, {"sign_in": "password"}, "web.sign_in", "'entra' or 'token'"),
        (TOKEN, {"listen": "8443"}, "web.listen", "host:port"),
        (TOKEN, {"external_url": "http://syncd.example.com"}, "web.external_url", "not https"),
        (TOKEN, {"external_url": "https://example.com/syncd"}, "web.external_url", "has a path"),
        (TOKEN, {"external_url": "https://u:p@example.com"}, "web.external_url", "password"),
        (ENTRA, {"client_id": None}, "web.client_id", "missing"),
        (ENTRA, {"client_id": "graph-client"}, "web.client_id", "application of its own"),
        (ENTRA, {"client_secret": None}, "web.client_secret", "client_secret_file"),
        (ENTRA, {"external_url": None}, "web.external_url", "sends them back"),
        (ENTRA, {"approvers": None}, "web.approvers", "nobody could sign in"),
        (ENTRA, {"approvers": ["Desk"]}, "web.approvers", "object id"),
        (ENTRA, {"token": "t" * 32}, "web.token_file", "remove it"),
        (ENTRA, {"approver": [ID]}, "web.approver", "did you mean approvers"),
    ],
)
def test_what_does_not_fit_is_refused_with_the_way_out(
    load: Load, base: dict[str, object], changes: dict[str, object], key: str, said: str
) -> None:
    """Each problem names its key, and no secret."""
    with pytest.raises(ConfigError) as caught:
        load({**base, **changes})
    problems = [problem for problem in caught.value.problems if problem.startswith(f"{key}:")]
    assert len(problems) == 1, caught.value.problems
    assert said in problems[0]
    assert "t" * 32 not in str(caught.value)


def test_http_is_for_this_machine_alone(load: Load) -> None:
    """Browsers keep a session over http for localhost."""
    assert load({**TOKEN, "external_url": "http://localhost:8443"}).web.external_url == "http://localhost:8443"


def test_a_command_in_another_shell_needs_no_files_of_the_console(load: Load) -> None:
    """They belong to the daemon's user."""
    keys = {**TOKEN, "token": None, "token_file": "nowhere"}
    with pytest.raises(ConfigError):
        load(keys)
    settings = load(keys, need=frozenset())
    assert settings.web.listen is None
    assert any("web.token_file" in problem for problem in settings.set_aside)
