"""Which certificates are trusted does not depend on the version of Python."""

from __future__ import annotations

import asyncio
import inspect
import os
import shutil
import ssl
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from syncd.http.trust import explain_distrust, load_ssl_context, make_ssl_context

NOW = datetime.now(UTC)


def name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


class Company:
    """A company's own authority as many have it: no key identifiers, its constraint not critical, an intermediate."""

    def __init__(self, folder: Path, *, host: str = "localhost", days: int = 30) -> None:
        self.root_key, self.middle_key, self.key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(3))
        root = self._build("Company Root", "Company Root", self.root_key, self.root_key, authority=True)
        middle = self._build("Company Issuing", "Company Root", self.middle_key, self.root_key, authority=True)
        own = self._build(host, "Company Issuing", self.key, self.middle_key, authority=False, days=days)
        self.root, self.middle = folder / "root.pem", folder / "middle.pem"
        self.root.write_bytes(root.public_bytes(serialization.Encoding.PEM))
        self.middle.write_bytes(middle.public_bytes(serialization.Encoding.PEM))
        chain, key = folder / "chain.pem", folder / "key.pem"
        chain.write_bytes(b"".join(one.public_bytes(serialization.Encoding.PEM) for one in (own, middle)))
        key.write_bytes(
            self.key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        self.server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.server.load_cert_chain(chain, key)

    def _build(
        self,
        subject: str,
        issuer: str,
        key: ec.EllipticCurvePrivateKey,
        signer: ec.EllipticCurvePrivateKey,
        *,
        authority: bool,
        days: int = 30,
    ) -> x509.Certificate:
        builder = (
            x509.CertificateBuilder()
            .subject_name(name(subject))
            .issuer_name(name(issuer))
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(NOW - timedelta(days=60))
            .not_valid_after(NOW + timedelta(days=days))
        )
        if authority:
            builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=False)
        else:
            builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(subject)]), critical=False)
        return builder.sign(signer, hashes.SHA256())


async def connect(company: Company, context: ssl.SSLContext) -> None:
    """Shake hands with a server of the company; raises what the handshake raises."""
    server = await asyncio.start_server(lambda reader, writer: writer.close(), "127.0.0.1", 0, ssl=company.server)
    async with server:
        port = server.sockets[0].getsockname()[1]
        _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context, server_hostname="localhost")
        writer.close()
        await writer.wait_closed()


async def test_an_authority_that_newer_pythons_refuse_by_themselves_is_taken(tmp_path: Path) -> None:
    """It lacks what RFC 5280 asks for; with the strict check of Python 3.13 it would be refused."""
    company = Company(tmp_path)
    await connect(company, make_ssl_context(company.root))
    strict = make_ssl_context(company.root)
    strict.verify_flags |= ssl.VERIFY_X509_STRICT
    with pytest.raises(ssl.SSLCertVerificationError):
        await connect(company, strict)


SHAKE_HANDS = """
import asyncio, importlib.util, ssl, sys
from pathlib import Path
spec = importlib.util.spec_from_file_location("trust", sys.argv[1])
trust = importlib.util.module_from_spec(spec)
spec.loader.exec_module(trust)

async def is_taken(context):
    try:
        where = {"host": "127.0.0.1", "port": int(sys.argv[3]), "server_hostname": "localhost"}
        _, writer = await asyncio.open_connection(ssl=context, **where)
    except ssl.SSLCertVerificationError:
        return False
    writer.transport.abort()
    return True

async def main():
    of_python = ssl.create_default_context(cafile=sys.argv[2])
    print(await is_taken(trust.make_ssl_context(Path(sys.argv[2]))), await is_taken(of_python))

asyncio.run(main())
"""


def find_other_pythons() -> dict[tuple[int, int], str]:
    """Return a Python of each other version that is here and that syncd knows, by its version."""
    versions = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv") / "versions"
    found: dict[tuple[int, int], str] = {}
    for minor in range(11, 20):
        paths = [shutil.which(f"python3.{minor}"), *map(str, versions.glob(f"3.{minor}.*/bin/python3.{minor}"))]
        for path in filter(None, paths) if (3, minor) != sys.version_info[:2] else ():
            if subprocess.run([path, "-c", "import ssl"], capture_output=True, check=False).returncode == 0:
                found[3, minor] = path
    return found


@pytest.mark.once
async def test_another_python_takes_what_this_one_takes(tmp_path: Path) -> None:
    """A real one, which shakes hands by our context and by its own: from 3.13 on its own would refuse the company's."""
    pythons = find_other_pythons()
    if not pythons:
        pytest.skip("another Python's trust was not tested: there is none here")
    company, trust = Company(tmp_path), str(inspect.getsourcefile(make_ssl_context))
    server = await asyncio.start_server(lambda reader, writer: writer.close(), "127.0.0.1", 0, ssl=company.server)
    async with server:
        port = str(server.sockets[0].getsockname()[1])
        for version, python in pythons.items():
            command = (python, "-I", "-c", SHAKE_HANDS, trust, str(company.root), port)
            process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
            told, _ = await process.communicate()
            assert told.decode().split() == ["True", str(version < (3, 13))], version


async def test_an_issuing_authority_alone_is_enough(tmp_path: Path) -> None:
    """As newer Pythons have it; older ones would ask for its root too."""
    company = Company(tmp_path)
    await connect(company, make_ssl_context(company.middle))
    older = make_ssl_context(company.middle)
    older.verify_flags &= ~ssl.VERIFY_X509_PARTIAL_CHAIN
    with pytest.raises(ssl.SSLCertVerificationError):
        await connect(company, older)


def test_authorities_are_read_once_until_a_file_of_theirs_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A daemon opens both sides for each run; a renewed authority counts from the next run on, the system's own too."""
    (tmp_path / "one").mkdir()
    (tmp_path / "other").mkdir()
    one, other = Company(tmp_path / "one"), Company(tmp_path / "other")
    first = load_ssl_context(one.root)
    assert load_ssl_context(one.root) is first
    one.root.write_bytes(other.root.read_bytes())
    renewed = load_ssl_context(one.root)
    assert renewed is not first
    assert renewed.get_ca_certs() != first.get_ca_certs()
    bare = load_ssl_context(None)
    monkeypatch.setenv("SSL_CERT_FILE", str(other.root))
    assert load_ssl_context(None) is not bare
    with pytest.raises(FileNotFoundError):
        load_ssl_context(tmp_path / "missing.pem")


def test_the_flags_are_set_and_not_left_to_the_version() -> None:
    """One strictness for all."""
    flags = make_ssl_context(None).verify_flags
    assert not flags & ssl.VERIFY_X509_STRICT
    assert flags & ssl.VERIFY_X509_PARTIAL_CHAIN
    assert flags & ssl.VERIFY_X509_TRUSTED_FIRST


@pytest.mark.parametrize(
    ("host", "days", "known", "said"),
    [
        ("localhost", 30, False, "name the authority's certificate with bps.ca_file"),
        ("other.example", 30, True, "use the name that stands in it, see bps.portal_url"),
        ("localhost", -1, True, "renew it on that server"),
    ],
)
async def test_what_is_wrong_with_a_certificate_decides_what_helps(
    tmp_path: Path, host: str, days: int, *, known: bool, said: str
) -> None:
    """Naming the authority once more does not help where that is done."""
    company = Company(tmp_path, host=host, days=days)
    with pytest.raises(ssl.SSLCertVerificationError) as raised:
        await connect(company, make_ssl_context(company.root if known else None))
    settings = {"ca_setting": "bps.ca_file", "address_setting": "bps.portal_url"}
    assert said in explain_distrust(raised.value, **settings)


def test_what_an_authority_lacks_is_named() -> None:
    """OpenSSL's own words for it, with what to do."""
    error = ssl.SSLCertVerificationError(1, "certificate verify failed")
    error.verify_code, error.verify_message = 67, "CA certificate key too weak"
    told = explain_distrust(error, ca_setting="bps.ca_file", address_setting="bps.portal_url")
    assert told.startswith("CA certificate key too weak: that is what it, or an authority of bps.ca_file, lacks")
