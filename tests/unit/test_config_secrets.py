"""Secrets: read from text or file, read again when the file changes, and never shown."""

from __future__ import annotations

import copy
import json
import os
import pickle
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syncd.config import Secret, Settings, layers, load_settings
from syncd.config.addresses import show_without_password
from syncd.errors import ConfigError

SIDES = {
    "SYNCD_GRAPH__TENANT_ID": "contoso.example.com",
    "SYNCD_GRAPH__CLIENT_ID": "app",
    "SYNCD_GRAPH__CLIENT_SECRET": "graph-pass",
    "SYNCD_BPS__PORTAL_URL": "https://bps.example.com",
    "SYNCD_BPS__CLIENT_ID": "app",
    "SYNCD_BPS__CLIENT_SECRET": "bps-pass",
}
NOWHERE = Path("/nonexistent")
SECRETS = st.text("abcXYZ0123456789~._+=#%!?@:/&;'\"\\ -", min_size=8, max_size=24).map(
    lambda text: f"S3{text.strip()}cr"
)


def load(env: dict[str, str], cwd: Path = NOWHERE) -> Settings:
    """Load settings from variables alone, above both sides configured."""
    return load_settings(None, {**SIDES, **env}, cwd=cwd)


def problems_of(env: dict[str, str], cwd: Path = NOWHERE) -> tuple[str, ...]:
    """Return every problem."""
    with pytest.raises(ConfigError) as caught:
        load(env, cwd)
    return caught.value.problems


def test_a_secret_shows_itself_to_reveal_only() -> None:
    """Every usual way of printing, copying or storing gives the mask."""
    secret = load({}).graph.client_secret

    assert secret is not None
    assert secret.reveal() == "graph-pass"
    assert copy.deepcopy(secret) == secret
    shown = [
        repr(secret),
        str(secret),
        f"{secret}",
        json.dumps([secret], default=str),
        secret.shown(),
        str(pickle.loads(pickle.dumps(secret))),
    ]
    assert all("********" in text and "graph" not in text for text in shown)
    assert not hasattr(secret, "__dict__")


def test_a_secret_file_loses_its_line_end_only(tmp_path: Path) -> None:
    """Blanks may belong to a password; the newline of an editor does not, nor does a byte order mark."""
    path = tmp_path / "secret"
    path.write_bytes(b"\xef\xbb\xbf pass word \r\n")

    assert (
        load(
            {"SYNCD_BPS__CLIENT_SECRET": "", "SYNCD_BPS__CLIENT_SECRET_FILE": "secret"}, tmp_path
        ).bps.client_secret.reveal()
        == " pass word "
    )


def test_a_secret_file_that_changes_is_read_again(tmp_path: Path) -> None:
    """Rotation needs neither a signal nor a restart, also when the file is replaced by another of the same size."""
    path = tmp_path / "secret"
    path.write_text("first\n")
    secret = Secret.from_file(path)
    assert secret.reveal() == "first"

    times = (path.stat().st_atime_ns, path.stat().st_mtime_ns)
    fresh = tmp_path / "fresh"
    fresh.write_text("other\n")
    os.utime(fresh, ns=times)
    fresh.replace(path)

    assert secret.reveal() == "other"


@pytest.mark.parametrize("state", ["gone", "empty", "garbage"])
def test_a_secret_keeps_its_last_good_value_while_the_file_is_unusable(state: str, tmp_path: Path) -> None:
    """A rotation that is half done does not stop a run; the finished one is seen."""
    path = tmp_path / "secret"
    path.write_text("first")
    secret = Secret.from_file(path)
    if state == "gone":
        path.unlink()
    else:
        path.write_bytes(b"\n" if state == "empty" else b"\xff\xfe\xff longer")

    assert secret.reveal() == "first"
    path.write_text("the second one")
    assert secret.reveal() == "the second one"


def test_a_store_address_from_a_file_is_rewritten_each_time(tmp_path: Path) -> None:
    """The file may hold the short spelling, also after a rotation; an unusable one is not taken."""
    path = tmp_path / "url"
    path.write_text("postgres://u:one@h/d")
    url = load({"SYNCD_STORE__URL_FILE": str(path)}).store.url
    assert url.reveal() == "postgresql+psycopg://u:one@h/d"

    path.write_text("postgres://u:second@h/d")
    assert url.reveal() == "postgresql+psycopg://u:second@h/d"
    path.write_text("mysql://u:third@h/database")
    assert url.reveal() == "postgresql+psycopg://u:second@h/d"


@pytest.mark.parametrize(
    ("content", "hint"),
    [
        (None, "cannot be read: no such file or directory"),
        (b"", "is an empty file"),
        (b" \n", "is an empty file"),
        (b"\xff\xfe", "is not UTF-8 text"),
        (b"x" * 70_000, "holds more than 65536 bytes"),
    ],
)
def test_a_secret_file_must_hold_a_secret_at_the_start(content: bytes | None, hint: str, tmp_path: Path) -> None:
    """The problem names the key and the path."""
    path = tmp_path / "secret"
    if content is not None:
        path.write_bytes(content)

    (problem,) = problems_of({"SYNCD_BPS__CLIENT_SECRET": "", "SYNCD_BPS__CLIENT_SECRET_FILE": "./secret"}, tmp_path)

    assert problem.startswith(f"bps.client_secret_file: {hint}")
    assert "(value './secret', from SYNCD_BPS__CLIENT_SECRET_FILE)" in problem


def test_a_secret_given_in_place_of_its_file_is_not_repeated() -> None:
    """Whoever mixes up the two variables does not find the secret in the log."""
    (problem,) = problems_of(
        {"SYNCD_BPS__CLIENT_SECRET": "", "SYNCD_BPS__CLIENT_SECRET_FILE": "abc8Q~dEfGhIjKlMnOpQrStUvWxYz.0123456789"}
    )

    assert "abc8Q" not in problem


def test_a_secret_and_its_file_exclude_each_other_within_a_layer() -> None:
    """Nobody has to guess which of the two counts."""
    problems = problems_of({"SYNCD_STORE__URL": "sqlite:///a.db", "SYNCD_STORE__URL_FILE": "/dev/null"})

    assert any("store.url: is given together with url_file" in problem for problem in problems)


@pytest.mark.parametrize("upper_is_file", [True, False])
def test_the_environment_replaces_the_pair(upper_is_file: bool, tmp_path: Path) -> None:
    """Either form in the environment beats either form in the file."""
    (tmp_path / "upper").write_text("from-upper")
    (tmp_path / "syncd.toml").write_text(
        '[bps]\nclient_secret = "from-lower"\n' if upper_is_file else '[bps]\nclient_secret_file = "/nowhere"\n'
    )
    env = {"SYNCD_BPS__CLIENT_SECRET": "" if upper_is_file else "from-upper"}
    env["SYNCD_BPS__CLIENT_SECRET_FILE"] = "upper" if upper_is_file else ""

    assert load(env, tmp_path).bps.client_secret.reveal() == "from-upper"


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("sqlite:///syncd.db", "sqlite:///syncd.db"),
        ("postgresql+psycopg://u@h/d", "postgresql+psycopg://u@h/d"),
        ("postgresql+psycopg://u:p@h/d", "postgresql+psycopg://u:********@h/d"),
        ("postgresql+psycopg://u:p/w@x@h/d", "postgresql+psycopg://u:********@h/d"),
        ("postgresql+psycopg://h/d?user=u&password=p@w", "postgresql+psycopg://h/d?user=u&password=********"),
        ("http://u:p@proxy:3128", "http://u:********@proxy:3128"),
        ("nonsense", "********"),
    ],
)
def test_an_address_is_shown_without_its_password(address: str, shown: str) -> None:
    """Everything else helps to find out where one is."""
    assert show_without_password(address) == shown


def test_a_hook_is_shown_by_its_host() -> None:
    """The path of a hook is its password."""
    settings = load({"SYNCD_NOTIFY__WEBHOOK_URL": "https://hooks.example.com/T0/hunter2?sig=hunter2"})

    notify = settings.effective()["notify"]
    assert isinstance(notify, dict)
    assert notify["webhook_url"] == "https://hooks.example.com/********"


@given(secret=SECRETS)
def test_no_secret_is_ever_seen_in_good_settings(secret: str) -> None:
    """Whatever a secret looks like, no way of showing settings shows it."""
    quoted = secret.replace("\\", "%5C").replace(" ", "%20").replace('"', "%22").replace("@", "%40")
    settings = load(
        {
            "SYNCD_GRAPH__CLIENT_SECRET": secret,
            "SYNCD_BPS__CLIENT_SECRET": secret,
            "SYNCD_STORE__URL": f"postgres://syncd:{quoted}@db/syncd",
            "SYNCD_NOTIFY__WEBHOOK_URL": f"https://hooks.example.com/x{quoted}".replace("[", "").replace("]", ""),
        }
    )

    assert settings.bps.client_secret.reveal() == secret
    assert settings.store.url.reveal() == f"postgresql+psycopg://syncd:{quoted}@db/syncd"
    seen = [repr(settings), str(settings), settings.model_dump_json(), json.dumps(settings.effective())]
    seen += [str(settings.model_dump()), str(dict(settings.graph)), repr(settings.store)]
    for text in seen:
        assert secret not in text
        assert quoted not in text


@given(secret=SECRETS)
def test_no_secret_is_ever_seen_in_problems(secret: str) -> None:
    """A wrong setting beside, around or instead of a secret does not bring it out, nor does a traceback."""
    layered = {
        "SYNCD_GRAPH__CLIENT_SECRT": secret,
        "SYNCD_BPS__CLIENT_SECRET_FILE": "/nowhere",
        "SYNCD_BPS__CLIENT_SECRET": secret,
        "SYNCD_STORE__URL": f"mysql://u:{secret}@h/d",
        "SYNCD_NOTIFY__WEBHOOK_URL": f"ftp://{secret}",
        "SYNCD_GRAPH__PROXY_URL": f"socks://u:{secret}@proxy",
        "SYNCD_BPS__CONCURRENCY": "many",
        "SYNCD_GRAPH__CERTIFICATE_PASSWORD": secret,
    }
    with pytest.raises(ConfigError) as caught:
        load(layered)

    told = "\n".join(caught.value.problems) + repr(caught.value)
    assert caught.value.__context__ is None
    assert secret not in told
    assert repr(secret)[1:-1] not in told
    assert len(caught.value.problems) >= 7


@pytest.mark.parametrize(
    "toml", ["client_secret = 5.25", "client_secret = [5.25]", "client_secrt = 5.25", "proxy_url = [5.25]"]
)
def test_a_secret_of_the_wrong_type_is_not_repeated(toml: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The value of a secret key, and of an unknown one, is never shown."""
    monkeypatch.setattr(layers, "SYSTEM_FILE", tmp_path / "none")
    (tmp_path / "syncd.toml").write_text(f"[graph]\n{toml}\n")

    with pytest.raises(ConfigError) as caught:
        load_settings(None, {}, cwd=tmp_path)

    assert "5.25" not in str(caught.value)
