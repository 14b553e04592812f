"""Sign-in by certificate, federated token and managed identity: the real msal against the sandbox's login host."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import os
import time
import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding

from syncd.bootstrap.settings import list_credential_ends, list_expiring, make_credential, read_settings
from syncd.clock import Clock
from syncd.config import load_settings
from syncd.errors import AuthFailed, Forbidden, Intercepted, Rejected, RemoteError
from syncd.graph.auth.tokens import TokenSource
from syncd.graph.checks.credential import find_end, probe_credential
from syncd.graph.client import open_client
from syncd.graph.credentials import ClientCertificate, ClientSecret, Credential, FederatedToken, ManagedIdentity
from syncd.graph.options import GraphOptions
from syncd.graph.permissions import read_claims
from syncd.graph.source import GraphSource
from syncd.sandbox.login.assertions import Federation
from syncd.sandbox.server import Sandbox, SandboxOptions
from syncd.sandbox.wire.faults import Fault
from tests.contract.certificates import Issued, issue, make_key
from tests.contract.connect_proxy import serve_proxy
from tests.fakes.daemon import make_settings, open_new_store
from tests.fakes.rules import make_graph_options

AZURE_VARIABLES = (
    "IDENTITY_ENDPOINT",
    "IDENTITY_HEADER",
    "IDENTITY_SERVER_THUMBPRINT",
    "IMDS_ENDPOINT",
    "MSI_ENDPOINT",
    "MSI_SECRET",
    "AZURE_POD_IDENTITY_AUTHORITY_HOST",
)


@pytest.fixture
async def sandbox(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Sandbox]:
    for name in AZURE_VARIABLES:
        monkeypatch.delenv(name, raising=False)
    async with Sandbox(SandboxOptions(users=12, groups=3, memberships=10), tmp_path / "sandbox") as running:
        yield running


def make_options(sandbox: Sandbox, credential: Credential, **changes: Any) -> GraphOptions:
    settings: dict[str, Any] = {
        "tenant_id": sandbox.tenant_id,
        "client_id": sandbox.client_id,
        "credential": credential,
        "authority_url": sandbox.login_url,
        "base_url": sandbox.graph_url,
        "ca_file": sandbox.ca_file,
    }
    return make_graph_options(**(settings | changes))


async def sign_in(sandbox: Sandbox, credential: Credential, **changes: Any) -> str:
    """Return a token, after Graph has taken it."""
    options = make_options(sandbox, credential, **changes)
    async with open_client(options, Clock()) as client:
        assert await GraphSource(client, Clock()).fetch_count("users") > 0
        return await client.tokens.fetch()


def write(path: Path, *parts: bytes) -> Path:
    path.write_bytes(b"".join(parts))
    return path


def certify(path: Path, *parts: bytes, password: str | None = None) -> ClientCertificate:
    return ClientCertificate(write(path, *parts), None if password is None else lambda: password)


# --- certificates


async def test_a_pem_file_signs_in_whatever_its_order(sandbox: Sandbox, tmp_path: Path) -> None:
    """Key first or certificate first, both are found, and the login host accepts the signature."""
    mine = issue("syncd.example")
    sandbox.registration.trust.certificates.append(mine.certificate)
    assert read_claims(await sign_in(sandbox, certify(tmp_path / "a.pem", mine.key_pem(), mine.pem)))
    assert read_claims(await sign_in(sandbox, certify(tmp_path / "b.pem", mine.pem, mine.key_pem())))


async def test_encrypted_pem_and_pfx_open_with_their_password(sandbox: Sandbox, tmp_path: Path) -> None:
    """The password opens either kind; one for a key that has none does no harm."""
    mine = issue("syncd.example")
    sandbox.registration.trust.certificates.append(mine.certificate)
    for name, parts in {
        "a.pem": (mine.key_pem(b"open sesame"), mine.pem),
        "b.pem": (mine.key_pem(), mine.pem),
        "c.pfx": (mine.pfx(b"open sesame"),),
    }.items():
        assert await sign_in(sandbox, certify(tmp_path / name, *parts, password="open sesame"))


@pytest.mark.parametrize("kind", ["pem", "pfx"])
async def test_the_chain_is_sent_for_a_trusted_subject(sandbox: Sandbox, tmp_path: Path, kind: str) -> None:
    """A certificate that nobody registered is accepted by subject and issuer, which needs the intermediate in x5c."""
    root = issue("root")
    middle = issue("middle", by=root)
    leaf = issue("syncd.example", by=middle)
    trust = sandbox.registration.trust
    trust.authorities.append(root.certificate)
    trust.subjects.add("syncd.example")
    if kind == "pem":
        credential = certify(tmp_path / "chain.pem", root.pem, middle.pem, leaf.key_pem(), leaf.pem)
        alone = certify(tmp_path / "alone.pem", leaf.key_pem(), leaf.pem)
    else:
        credential = certify(tmp_path / "chain.pfx", leaf.pfx(b"x", middle.certificate), password="x")
        alone = certify(tmp_path / "alone.pfx", leaf.pfx(b"x"), password="x")
    assert await sign_in(sandbox, credential)
    with pytest.raises(AuthFailed, match="AADSTS700027"):
        await sign_in(sandbox, alone)
    trust.subjects = {"another.example"}
    with pytest.raises(AuthFailed, match=r"AADSTS700030.*certificate_file.*subject"):
        await sign_in(sandbox, credential)


async def test_an_unregistered_or_expired_certificate_names_the_setting(sandbox: Sandbox, tmp_path: Path) -> None:
    """One sentence with what was said, the setting and the way out."""
    credential = certify(tmp_path / "a.pem", issue("stranger").key_pem(), issue("stranger").pem)
    with pytest.raises(AuthFailed, match=r"AADSTS700027.*check graph\.certificate_file: upload"):
        await sign_in(sandbox, credential)
    old = issue("old", days=-1)
    sandbox.registration.trust.certificates.append(old.certificate)
    with pytest.raises(AuthFailed, match=r"AADSTS700027.*expired.*graph\.certificate_file"):
        await sign_in(sandbox, certify(tmp_path / "b.pem", old.key_pem(), old.pem))


async def test_a_replaced_certificate_file_works_without_a_restart(sandbox: Sandbox, tmp_path: Path) -> None:
    """The file is read for every new token."""
    old, new = issue("old"), issue("new")
    sandbox.registration.trust.certificates[:] = [old.certificate]
    tokens = TokenSource(make_options(sandbox, certify(tmp_path / "a.pem", old.key_pem(), old.pem)), Clock())
    first = await tokens.fetch()
    tokens.invalidate(first)
    sandbox.registration.trust.certificates[:] = [new.certificate]
    write(tmp_path / "a.pem", new.key_pem(), new.pem)
    assert await tokens.fetch() != first


@pytest.mark.parametrize(
    ("parts", "password", "said"),
    [
        (lambda m: (issue("e", key=ec.generate_private_key(ec.SECP256R1())).key_pem(), m.pem), None, "EC key.*RSA"),
        (lambda m: (issue("other").key_pem(), m.pem), None, "none of the 1 certificates"),
        (lambda m: (m.key_pem(b"right"), m.pem), None, r"encrypted; set graph\.certificate_password"),
        (lambda m: (m.key_pem(b"right"), m.pem), "wrong", r"check graph\.certificate_password"),
        (lambda m: (m.pfx(b"right"),), "wrong", r"check graph\.certificate_password"),
        (lambda m: (m.pfx(b"right"),), None, r"set graph\.certificate_password"),
        (lambda m: (m.key_pem(),), None, "no readable certificate"),
        (lambda m: (b"\x30\x82 no certificate",), None, "cannot be opened as PEM or PFX"),
        (lambda m: (b"",), None, "an empty file"),
    ],
)
async def test_an_unusable_file_is_told_before_asking(
    sandbox: Sandbox, tmp_path: Path, parts: Any, password: str | None, said: str
) -> None:
    """Each thing that can be wrong with the file has its sentence, and nothing is sent."""
    credential = certify(tmp_path / "file", *parts(issue("syncd.example")), password=password)
    with pytest.raises(AuthFailed, match=said) as raised:
        await sign_in(sandbox, credential)
    assert "graph.certificate_" in str(raised.value)
    assert "right" not in str(raised.value)
    assert sandbox.ledger.requests() == 0
    with pytest.raises(AuthFailed, match=r"No such file.*graph\.certificate_file"):
        await sign_in(sandbox, ClientCertificate(tmp_path / "missing"))


# --- federated tokens


def sign_token(key_name: str, **claims: object) -> bytes:
    """Return what a platform's token service would put into the file."""
    content = {"iss": "https://oidc.example", "sub": "system:serviceaccount:syncd", "exp": int(time.time()) + 600}
    parts = [json.dumps(part).encode() for part in ({"alg": "RS256"}, content | claims)]
    text = b".".join(base64.urlsafe_b64encode(part).rstrip(b"=") for part in parts)
    signature = make_key(key_name).sign(text, PKCS1v15(), SHA256())
    return text + b"." + base64.urlsafe_b64encode(signature).rstrip(b"=")


def federate(sandbox: Sandbox) -> None:
    key = make_key("platform").public_key()
    sandbox.registration.trust.federations.append(
        Federation("https://oidc.example", "system:serviceaccount:syncd", key)
    )


AUDIENCE = "api://AzureADTokenExchange"


async def test_the_federated_token_is_read_for_every_token(sandbox: Sandbox, tmp_path: Path) -> None:
    """The platform renews its file every hour or so; the next sign-in takes what is there then."""
    federate(sandbox)
    file = write(tmp_path / "token", sign_token("platform", aud=AUDIENCE), b"\n")
    tokens = TokenSource(make_options(sandbox, FederatedToken(file)), Clock())
    first = await tokens.fetch()
    tokens.invalidate(first)
    write(file, sign_token("platform", aud=AUDIENCE, exp=1))
    with pytest.raises(AuthFailed, match=r"AADSTS700024.*clock.*renews the file"):
        await tokens.fetch()
    write(file, sign_token("platform", aud=AUDIENCE))
    assert await tokens.fetch() != first


@pytest.mark.parametrize(
    ("key", "claims", "number"),
    [
        ("platform", {"aud": AUDIENCE, "iss": "https://elsewhere.example"}, 700211),
        ("platform", {"aud": AUDIENCE, "sub": "system:serviceaccount:other"}, 700213),
        ("platform", {"aud": "something"}, 700212),
    ],
)
async def test_a_federation_that_does_not_match_is_told(
    sandbox: Sandbox, tmp_path: Path, key: str, claims: dict[str, str], number: int
) -> None:
    """Issuer, subject and audience are the things to compare."""
    federate(sandbox)
    file = write(tmp_path / "token", sign_token(key, **claims))
    with pytest.raises(AuthFailed, match=rf"AADSTS{number}.*federated_token_file: issuer, subject and audience"):
        await sign_in(sandbox, FederatedToken(file))


@pytest.mark.parametrize("content", [b"", b"not a token", b"a.b", "a.b.ä".encode(), b"a.b." + b"c" * 70_000])
async def test_a_file_without_a_token_is_told_before_asking(sandbox: Sandbox, tmp_path: Path, content: bytes) -> None:
    """Nothing but a token leaves the machine."""
    with pytest.raises(AuthFailed, match=r"graph\.federated_token_file holds no token"):
        await sign_in(sandbox, FederatedToken(write(tmp_path / "token", content)))
    with pytest.raises(AuthFailed, match=r"No such file.*graph\.federated_token_file"):
        await sign_in(sandbox, FederatedToken(tmp_path / "missing"))
    assert sandbox.ledger.requests() == 0


# --- managed identity


async def test_instance_metadata_gives_tokens_without_proxy(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """System-assigned and user-assigned; a proxy in the settings is for the way out, not for this neighbour."""
    monkeypatch.setenv("AZURE_POD_IDENTITY_AUTHORITY_HOST", sandbox.login_url)
    sandbox.login.platform.identities.client_ids.add("mine")
    assert await sign_in(sandbox, ManagedIdentity())
    nowhere = "http://127.0.0.1:1"
    tokens = TokenSource(make_options(sandbox, ManagedIdentity("mine"), proxy_url=nowhere, client_id=""), Clock())
    assert await tokens.fetch()


async def test_app_service_gives_tokens(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment says that this is App Service."""
    monkeypatch.setenv("IDENTITY_ENDPOINT", f"{sandbox.login_url}/msi/token")
    monkeypatch.setenv("IDENTITY_HEADER", sandbox.login.platform.identities.header)
    assert await sign_in(sandbox, ManagedIdentity())
    with pytest.raises(AuthFailed, match=r"400: “No User Assigned.*managed_identity: assign the identity 'other'"):
        await sign_in(sandbox, ManagedIdentity("other"))


async def test_a_missing_identity_names_the_setting(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is to be switched on in Azure is said."""
    monkeypatch.setenv("AZURE_POD_IDENTITY_AUTHORITY_HOST", sandbox.login_url)
    sandbox.login.platform.identities.system = False
    with pytest.raises(AuthFailed, match=r"400: “Identity not found”; check graph\.managed_identity: switch on"):
        await sign_in(sandbox, ManagedIdentity())


@pytest.mark.parametrize("body", [b'{"error":"Forbidden"}', b'{"message":"Forbidden"}', b"<html>Blocked</html>"])
async def test_a_gateway_before_instance_metadata_accuses_no_identity(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, body: bytes
) -> None:
    """A proxy of the cluster that does not let pods ask is no missing identity."""
    monkeypatch.setenv("AZURE_POD_IDENTITY_AUTHORITY_HOST", sandbox.login_url)
    sandbox.faults.add(Fault("status", side="login", status=403, body=body, count=-1))
    with pytest.raises(Intercepted, match=r"managed identity service refused this request \(403") as raised:
        await sign_in(sandbox, ManagedIdentity())
    assert "assign" not in str(raised.value)
    assert "switch on" not in str(raised.value)


@pytest.mark.looptime
async def test_a_passing_failure_of_instance_metadata_is_waited_out(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """404, 410, 429 and 500 are answers of a service that is being renewed or is busy."""
    monkeypatch.setenv("AZURE_POD_IDENTITY_AUTHORITY_HOST", sandbox.login_url)
    for status in (404, 410, 500):
        sandbox.faults.add(Fault("status", side="login", status=status))
    assert await TokenSource(make_options(sandbox, ManagedIdentity()), Clock()).fetch()


@pytest.mark.looptime
async def test_a_machine_outside_of_azure_is_told(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody answers there; the way out is another credential."""
    monkeypatch.setenv("AZURE_POD_IDENTITY_AUTHORITY_HOST", "http://127.0.0.1:1")
    with pytest.raises(
        RemoteError,
        match=r"cannot be reached: Connection refused; check where syncd runs: graph\.managed_identity works on Azure",
    ):
        await sign_in(sandbox, ManagedIdentity())
    for name in ("IDENTITY_ENDPOINT", "IDENTITY_HEADER", "IDENTITY_SERVER_THUMBPRINT"):
        monkeypatch.setenv(name, "x")
    with pytest.raises(AuthFailed, match="Service Fabric"):
        await sign_in(sandbox, ManagedIdentity())


# --- permissions that come later


def secret_of(sandbox: Sandbox) -> ClientSecret:
    return ClientSecret(lambda: sandbox.client_secret)


async def test_a_permission_granted_later_is_noticed(sandbox: Sandbox) -> None:
    """The token in hand lacks it; one fresh token has it, and the request is repeated."""
    sandbox.registration.roles = {"GroupMember.Read.All"}
    async with open_client(make_options(sandbox, secret_of(sandbox)), Clock()) as client:
        source = GraphSource(client, Clock())
        assert await source.fetch_count("groups") > 0
        sandbox.registration.roles = {"GroupMember.Read.All", "User.Read.All"}
        assert await source.fetch_count("users") > 0


async def test_refusals_in_a_row_cost_one_token(sandbox: Sandbox) -> None:
    """A permission that stays missing does not become a login for each request."""
    sandbox.registration.roles = {"GroupMember.Read.All"}
    async with open_client(make_options(sandbox, secret_of(sandbox)), Clock()) as client:
        source = GraphSource(client, Clock())
        for _ in range(5):
            with pytest.raises(Forbidden, match=r"User\.Read\.All"):
                await source.fetch_count("users")
        assert client.door.traffic.requests == 6
    assert sum("oauth2/v2.0/token" in entry.target for entry in sandbox.ledger.entries) == 2


async def test_a_managed_identitys_old_token_is_explained(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """Azure hands out the same token for a day, so the operator is told to wait."""
    monkeypatch.setenv("AZURE_POD_IDENTITY_AUTHORITY_HOST", sandbox.login_url)
    sandbox.registration.roles = {"GroupMember.Read.All"}
    async with open_client(make_options(sandbox, ManagedIdentity()), Clock()) as client:
        source = GraphSource(client, Clock())
        assert await source.fetch_count("groups") > 0
        sandbox.registration.roles = {"GroupMember.Read.All", "User.Read.All"}
        with pytest.raises(Forbidden, match=r"User\.Read\.All.*24 hours"):
            await source.fetch_count("users")


# --- the way to the login host


async def test_token_requests_go_through_the_proxy(sandbox: Sandbox) -> None:
    """Token and Graph requests both take the tunnel, with the proxy's own password."""
    async with serve_proxy() as proxy:
        url = proxy.url.replace("//", "//user:pass@")
        assert await sign_in(sandbox, secret_of(sandbox), proxy_url=url)
        hosts = {address.removeprefix("https://") for address in (sandbox.login_url, sandbox.graph_url)}
        assert set(proxy.targets) == hosts
        assert set(proxy.authorizations) == {"Basic " + base64.b64encode(b"user:pass").decode()}


async def test_certificate_variables_neither_replace_nor_add_trust(
    sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bundle in the environment is not needed, does no harm, and does not make a stranger trusted."""
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.setenv(name, str(tmp_path / "missing.pem"))
    assert await sign_in(sandbox, secret_of(sandbox))
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.setenv(name, str(sandbox.ca_file))
    with pytest.raises(Rejected, match=r"not trusted.*graph\.ca_file"):
        await sign_in(sandbox, secret_of(sandbox), ca_file=None)


# --- the end of a credential


def probe_file(path: Path, mine: Issued) -> tuple[str, str]:
    found = probe_credential(certify(path, mine.key_pem(), mine.pem), None, now=Clock().now())
    assert found.check == "graph.credential"
    return found.status, f"{found.detail}|{found.remedy}"


def test_the_end_of_a_certificate_is_told_ahead(tmp_path: Path) -> None:
    """Fine until thirty days before its end, then a warning with the days left, then a failure."""
    assert probe_file(tmp_path / "a", issue("a", days=31))[0] == "ok"
    status, text = probe_file(tmp_path / "b", issue("b", days=29.5))
    assert (status, "expires in 29 days" in text, "no restart needed" in text) == ("warning", True, True)
    assert probe_file(tmp_path / "c", issue("c", days=-1))[0] == "failed"
    broken = probe_credential(ClientCertificate(tmp_path / "missing"), None, now=Clock().now())
    assert (broken.status, "No such file" in broken.detail) == ("failed", True)


@pytest.mark.parametrize("kind", [ClientCertificate, FederatedToken])
async def test_a_pipe_in_place_of_a_credential_is_not_waited_for(
    sandbox: Sandbox, tmp_path: Path, kind: type[ClientCertificate] | type[FederatedToken]
) -> None:
    """A thread that waits for who writes into it would keep the program from ending."""
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(AuthFailed, match="is no regular file"):
        async with asyncio.timeout(10):
            await sign_in(sandbox, kind(tmp_path / "pipe"))


def test_only_a_certificate_has_an_end_that_is_known(tmp_path: Path) -> None:
    """However far away it is; a file that cannot be read tells nothing."""
    near = issue("near", days=10)
    assert find_end(certify(tmp_path / "a", near.key_pem(), near.pem)) == near.certificate.not_valid_after_utc
    assert find_end(ClientCertificate(tmp_path / "missing")) is None
    assert find_end(ClientSecret(str)) is None


def test_only_an_ending_certificate_is_expiring(tmp_path: Path) -> None:
    """What the daemon logs daily: the end of a certificate that is near or past, and nothing else."""
    now, database = Clock().now(), open_new_store(make_settings(f"sqlite:///{tmp_path / 'store.db'}"))
    for name, days, told in (("near", 10, True), ("past", -1, True), ("far", 100, False)):
        made = issue(name, days=days)
        file = tmp_path / f"{name}.pem"
        file.write_bytes(made.key_pem() + made.pem)
        environ = {
            "SYNCD_GRAPH__TENANT_ID": "7b68fdf7-b9e5-401a-8149-1cfa637cab2c",
            "SYNCD_GRAPH__CLIENT_ID": "509b057b-c946-4d1b-9a51-20d8c9414f04",
            "SYNCD_GRAPH__CERTIFICATE_FILE": str(file),
        }
        settings = load_settings(None, environ, need=frozenset({"graph"}))
        ends = list_credential_ends(settings, database, now)
        assert ends == {"graph.certificate_file": made.certificate.not_valid_after_utc}
        assert list_expiring(settings, database, now) == (ends if told else {})
    database.close()


def test_other_credentials_say_what_can_be_known(tmp_path: Path) -> None:
    """A secret's end is not told by Entra; what the platform renews needs no watching."""
    now = Clock().now()
    assert probe_credential(ClientSecret(str), None, now=now).status == "unknown"
    assert probe_credential(FederatedToken(tmp_path), None, now=now).status == "ok"
    assert probe_credential(ManagedIdentity(), None, now=now).status == "ok"


# --- from the settings


def read_credential(**keys: str) -> Credential:
    needed = {"tenant_id": str(uuid.UUID(int=1)), "client_id": "client"}
    environ = {f"SYNCD_GRAPH__{name.upper()}": value for name, value in (needed | keys).items()}
    return make_credential(read_settings(None, environ, need=frozenset({"graph"})).graph)


def test_each_kind_of_setting_becomes_its_credential(tmp_path: Path) -> None:
    """The four settings lead to the four credentials, and opening the side sends nothing."""
    mine = issue("syncd.example")
    pem = write(tmp_path / "a.pem", mine.key_pem(), mine.pem)
    token = write(tmp_path / "token", b"a.b.c")
    assert isinstance(read_credential(client_secret="x"), ClientSecret)
    assert read_credential(certificate_file=str(pem)) == ClientCertificate(pem)
    locked = read_credential(certificate_file=str(pem), certificate_password="open sesame")
    assert isinstance(locked, ClientCertificate)
    assert locked.reveal_password is not None
    assert locked.reveal_password() == "open sesame"
    assert "sesame" not in repr(locked)
    assert read_credential(federated_token_file=str(token)) == FederatedToken(token)
    assert read_credential(managed_identity="system") == ManagedIdentity()
    assert read_credential(managed_identity="some-id") == ManagedIdentity("some-id")


# --- manners of the assertion


async def test_the_assertion_is_what_entra_asks_for(sandbox: Sandbox, tmp_path: Path) -> None:
    """PS256 with the SHA-256 thumbprint and the certificate, for the token endpoint, ten minutes at most."""
    from syncd.graph.auth.tokens import _make_signer

    mine = issue("syncd.example")
    sign = _make_signer(certify(tmp_path / "a.pem", mine.key_pem(), mine.pem), "client")
    header, claims = (
        json.loads(base64.urlsafe_b64decode(part + b"=" * (-len(part) % 4)))
        for part in sign("https://x/").split(b".")[:2]
    )
    der = mine.certificate.public_bytes(Encoding.DER)
    thumbprint = base64.urlsafe_b64encode(hashlib.sha256(der).digest()).rstrip(b"=").decode()
    assert (header["alg"], header["x5t#S256"].rstrip("=")) == ("PS256", thumbprint)
    assert [base64.b64decode(one) for one in header["x5c"]] == [der]
    assert (claims["aud"], claims["iss"], claims["sub"]) == ("https://x/", "client", "client")
    assert claims["exp"] - claims["iat"] <= 600
