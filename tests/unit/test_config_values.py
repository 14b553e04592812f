"""The values that settings are written in: addresses, times, credentials."""

from __future__ import annotations

import re
from datetime import time, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syncd.config import (
    Cron,
    Interval,
    QuietHours,
    Settings,
    format_duration,
    load_settings,
    parse_duration,
)
from syncd.config.cadence import parse_cadence
from syncd.config.problem import Refused
from syncd.config.values import parse_listen, parse_quiet_hours, parse_waves
from syncd.errors import ConfigError

GRAPH = {"SYNCD_GRAPH__TENANT_ID": "contoso.example.com", "SYNCD_GRAPH__CLIENT_ID": "app"}
SECRET = {"SYNCD_GRAPH__CLIENT_SECRET": "pass"}
BPS = {
    "SYNCD_BPS__PORTAL_URL": "https://bps.example.com",
    "SYNCD_BPS__CLIENT_ID": "app",
    "SYNCD_BPS__CLIENT_SECRET": "pass",
}
EMPTY = Path("/nonexistent")


def load(env: dict[str, str]) -> Settings:
    """Load settings from variables alone, above both sides configured."""
    return load_settings(None, {**GRAPH, **SECRET, **BPS, **env}, cwd=EMPTY)


def problem_of(env: dict[str, str]) -> str:
    """Return the only problem."""
    with pytest.raises(ConfigError) as caught:
        load(env)
    (problem,) = caught.value.problems
    return problem


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("30s", timedelta(seconds=30)),
        ("5m", timedelta(minutes=5)),
        ("1d12h", timedelta(days=1, hours=12)),
        ("2d 3h 4m 5s", timedelta(days=2, hours=3, minutes=4, seconds=5)),
        ("0d", timedelta()),
        ("90m", timedelta(minutes=90)),
    ],
)
def test_durations_are_sums_of_units(text: str, expected: timedelta) -> None:
    """Days, hours, minutes, seconds, in this order."""
    assert parse_duration(text) == expected


@pytest.mark.parametrize("text", ["", "5", "5 minutes", "-5m", "1.5h", "5m1h", "1w", "P1D", "999999d", "٣m", 300, True])
def test_what_is_no_duration_is_refused(text: object) -> None:
    """A bare number has no unit, so it is not guessed."""
    with pytest.raises(ValueError, match=r"write it|did you mean|stay within|must be text"):
        parse_duration(text)


@pytest.mark.parametrize(
    ("text", "meant"),
    [("5 mins", "5m"), ("1 hour and 30 minutes", "1h30m"), ("2 Days", "2d"), ("90sec", "90s"), ("5 parsecs", "")],
)
def test_a_duration_in_words_is_met_with_the_right_spelling(text: str, meant: str) -> None:
    """Refused, with what was meant; also where a crontab line would do."""
    for parse in (parse_duration, parse_cadence):
        with pytest.raises(Refused) as refused:
            parse(text)
        assert (refused.value.remedy == f"did you mean {meant}?") == bool(meant)


@given(st.integers(min_value=0, max_value=3650 * 86400))
def test_a_formatted_duration_is_read_back(seconds: int) -> None:
    """What ``check`` prints can be put into the file."""
    assert parse_duration(format_duration(timedelta(seconds=seconds))) == timedelta(seconds=seconds)


@pytest.mark.parametrize(
    ("text", "fields"),
    [
        ("0 2 * * *", ("0", "2", "*", "*", "*")),
        ("*/15  8-17 * * mon-fri", ("0,15,30,45", "8,9,10,11,12,13,14,15,16,17", "*", "*", "mon,tue,wed,thu,fri")),
        ("0 0 * * 0", ("0", "0", "*", "*", "sun")),
        ("0 0 * * 7", ("0", "0", "*", "*", "sun")),
        ("0 0 * * 1", ("0", "0", "*", "*", "mon")),
        ("0 0 * * sat-sun", ("0", "0", "*", "*", "sat,sun")),
        ("0 0 * * */2", ("0", "0", "*", "*", "tue,thu,sat,sun")),
        ("5,35 0 1-10/3 JAN,jul *", ("5,35", "0", "1,4,7,10", "1,7", "*")),
        ("0 0 29 2 *", ("0", "0", "29", "2", "*")),
    ],
)
def test_cron_lines_mean_what_crontab_means(text: str, fields: tuple[str, ...]) -> None:
    """0 and 7 are Sunday; fields come out as plain lists that every scheduler reads alike."""
    cron = parse_cadence(text)

    assert isinstance(cron, Cron)
    assert (cron.minute, cron.hour, cron.day, cron.month, cron.weekday) == fields
    assert parse_cadence(str(cron)) == cron


@pytest.mark.parametrize(
    "text",
    [
        *("60 * * * *", "0 24 * * *", "0 0 0 * *", "0 0 32 * *", "0 0 * 13 *", "0 0 * * 8", "0 0 * * foo"),
        *("5-1 * * * *", "*/0 * * * *", "*/60 * * * *", "5/10 * * * *", "a b c d e", ", * * * *", "1,,2 * * * *"),
        *("0 0 1 * mon", "0 0 30 2 *", "0 0 31 4,6 *", "* * * *", "0 0 0 * * *", "@daily", "", "0s", "often", "5"),
        "99999999999999999999 * * * *",
    ],
)
def test_what_never_or_unclearly_recurs_is_refused(text: str) -> None:
    """A schedule that would not fire is found before it is relied on."""
    with pytest.raises(ValueError, match=";"):
        parse_cadence(text)


def test_an_interval_is_a_cadence() -> None:
    """Anything but five fields is an interval."""
    assert parse_cadence("24h") == Interval(timedelta(hours=24))


@pytest.mark.parametrize(
    ("text", "inside", "outside"),
    [
        ("07:00-18:00", [time(7), time(17, 59)], [time(6, 59), time(18)]),
        ("22:00-06:00", [time(22), time(23, 59), time(0), time(5, 59)], [time(6), time(12), time(21, 59)]),
        ("18:00-24:00", [time(18), time(23, 59)], [time(0), time(17)]),
        ("00:00 - 06:00", [time(0)], [time(6)]),
    ],
)
def test_quiet_hours_may_cross_midnight(text: str, inside: list[time], outside: list[time]) -> None:
    """The start belongs to the span, the end does not."""
    span = parse_quiet_hours(text)

    assert isinstance(span, QuietHours)
    assert all(span.covers(moment) for moment in inside)
    assert not any(span.covers(moment) for moment in outside)
    assert parse_quiet_hours(str(span)) == span


@pytest.mark.parametrize("text", ["7-18", "07:00", "07:00-07:00", "25:00-26:00", "07:60-08:00", "07:00-24:01", 7])
def test_what_is_no_span_is_refused(text: object) -> None:
    """A span that covers nothing or everything is a mistake."""
    with pytest.raises(ValueError, match=";"):
        parse_quiet_hours(text)


@pytest.mark.parametrize("waves", [[], [100], [1, 10, 100]])
def test_waves_are_ascending_shares_up_to_everybody(waves: list[int]) -> None:
    """An empty list is none."""
    assert parse_waves(waves) == tuple(waves)


@pytest.mark.parametrize(
    ("value", "hint"),
    [
        (10, "[1, 10, 100]"),
        (["1", 100], "whole percentages"),
        ([True, 100], "whole percentages"),
        ([0, 100], "1 to 100"),
        ([1, 200], "1 to 100"),
        ([10, 5, 100], "ascending"),
        ([10, 10, 100], "ascending"),
        ([1, 10], "add the last wave: [1, 10, 100]"),
    ],
)
def test_what_are_no_waves_is_refused(value: object, hint: str) -> None:
    """With what is wrong and how to write it."""
    with pytest.raises(Refused, match=re.escape(hint)):
        parse_waves(value)


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [("127.0.0.1:8080", "127.0.0.1", 8080), ("[::1]:80", "::1", 80), ("localhost:0", "localhost", 0)],
)
def test_listen_takes_host_and_port(text: str, host: str, port: int) -> None:
    """IPv6 addresses stand in brackets; port 0 is any."""
    listen = parse_listen(text)

    assert listen is not None
    assert (listen.host, listen.port, str(listen)) == (host, port, text)
    assert parse_listen("") is None


@pytest.mark.parametrize(
    "text", ["8080", ":8080", "host:", "host:http", "host:65536", "::1:80", "http://h:80", "a b:1"]
)
def test_what_is_no_listening_address_is_refused(text: str) -> None:
    """Nothing is guessed: an open port is a matter of security."""
    with pytest.raises(ValueError, match="write it like"):
        parse_listen(text)


@pytest.mark.parametrize(
    ("cloud", "authority", "root"),
    [
        ("global", "https://login.microsoftonline.com", "https://graph.microsoft.com"),
        ("usgov", "https://login.microsoftonline.us", "https://graph.microsoft.us"),
        ("usgov-dod", "https://login.microsoftonline.us", "https://dod-graph.microsoft.us"),
        ("china", "https://login.chinacloudapi.cn", "https://microsoftgraph.chinacloudapi.cn"),
    ],
)
def test_clouds_are_known_by_name(cloud: str, authority: str, root: str) -> None:
    """Each of the four clouds brings both of its hosts."""
    graph = load({"SYNCD_GRAPH__CLOUD": cloud}).graph

    assert (graph.authority, graph.root) == (authority, root)


def test_hosts_of_our_own_replace_those_of_the_cloud() -> None:
    """New clouds and test systems need no new release."""
    graph = load({"SYNCD_GRAPH__BASE_URL": "https://LOCALHOST:8443/", "SYNCD_GRAPH__CLOUD": "china"}).graph

    assert (graph.authority, graph.root) == ("https://login.chinacloudapi.cn", "https://localhost:8443")


@pytest.mark.parametrize(
    ("url", "hint"),
    [
        ("http://graph.microsoft.com", "is not https"),
        ("https://graph.microsoft.com/v1.0", "is more than a host"),
        ("https://graph.microsoft.com?x=1", "holds a query"),
        ("https://u:p@graph.microsoft.com", "holds a user name"),
        ("graph.microsoft.com", "is no http or https address"),
        ("https://host:99999", "is no address"),
        ("https://[::1", "is no address"),
        ("ftp://host", "is no http or https address"),
    ],
)
def test_graph_addresses_are_https_host_roots(url: str, hint: str) -> None:
    """Tokens go nowhere but to a host root over https."""
    assert f"graph.base_url: {hint}" in problem_of({"SYNCD_GRAPH__BASE_URL": url})


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://bps.example.com/", "https://bps.example.com"),
        ("https://BPS.example.com/WEBCONBPS//", "https://bps.example.com/WEBCONBPS"),
        ("https://bps.example.com:444/a/b", "https://bps.example.com:444/a/b"),
        ("https://bps.example.com/apiary", "https://bps.example.com/apiary"),
    ],
)
def test_the_portal_may_live_under_a_path(url: str, expected: str) -> None:
    """Host without case, path as it is, no slash at the end."""
    assert load({"SYNCD_BPS__PORTAL_URL": url}).bps.portal_url == expected


@pytest.mark.parametrize(
    ("url", "hint"),
    [
        ("http://bps.example.com", "is not https"),
        ("https://bps.example.com/WEBCONBPS/api/data", "reaches into the API"),
        ("https://bps.example.com/API", "reaches into the API"),
        ("https://admin:hunter2@bps.example.com", "holds a user name"),
        ("https://bps.example.com/#x", "holds a query or fragment"),
        ("bps.example.com", "is no http or https address"),
    ],
)
def test_a_portal_address_that_cannot_be_right_is_refused(url: str, hint: str) -> None:
    """The usual mistakes are named; a password in the address is not repeated."""
    problem = problem_of({"SYNCD_BPS__PORTAL_URL": url})

    assert f"bps.portal_url: {hint}" in problem
    assert "hunter2" not in problem


def test_plain_http_is_for_the_portal_on_request() -> None:
    """allow_http opens the portal, and nothing else."""
    settings = load({"SYNCD_BPS__PORTAL_URL": "http://bps.example.com", "SYNCD_BPS__ALLOW_HTTP": "true"})

    assert settings.bps.portal_url == "http://bps.example.com"


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("sqlite:///syncd.db", "sqlite:///syncd.db"),
        ("sqlite:////var/lib/syncd/syncd.db", "sqlite:////var/lib/syncd/syncd.db"),
        ("postgres://u:p@h/d", "postgresql+psycopg://u:p@h/d"),
        ("postgresql://u:p@h/d", "postgresql+psycopg://u:p@h/d"),
        ("postgresql+psycopg:///d?host=/run", "postgresql+psycopg:///d?host=/run"),
    ],
)
def test_the_store_is_a_file_or_postgresql(url: str, expected: str) -> None:
    """The short spellings of PostgreSQL mean the driver that is on board."""
    assert load({"SYNCD_STORE__URL": url}).store.url.reveal() == expected


@pytest.mark.parametrize("key", ["KEEP_RUNS", "KEEP_HISTORY"])
def test_what_is_kept_is_kept_for_a_week_at_least(key: str) -> None:
    """So long a held change can be approved."""
    problem = problem_of({f"SYNCD_STORE__{key}": "6d23h"})

    assert f"store.{key.lower()}" in problem
    assert "use at least 7d" in problem


@pytest.mark.parametrize(
    "url",
    ["mysql://u:hunter2@h/d", "sqlite://", "sqlite:///:memory:", "postgresql+asyncpg://u:hunter2@h/d", "syncd.db"],
)
def test_other_stores_are_refused_with_both_ways_out(url: str) -> None:
    """The address holds a password, so it is not repeated."""
    problem = problem_of({"SYNCD_STORE__URL": url})

    assert "sqlite:///" in problem
    assert "postgresql+psycopg://" in problem
    assert "hunter2" not in problem


@pytest.mark.parametrize(
    "tenant", ["common", "organizations", "11111111-2222", "https://contoso.com", "a b.com", "-a.com"]
)
def test_a_tenant_is_a_guid_or_a_domain(tenant: str) -> None:
    """Shared endpoints have no directory to read."""
    assert "graph.tenant_id: is neither" in problem_of({"SYNCD_GRAPH__TENANT_ID": tenant})


def test_the_credential_is_one_of_four(tmp_path: Path) -> None:
    """None is missing, several are ambiguous; a managed identity needs no client id."""
    pem = tmp_path / "app.pem"
    pem.write_text("-----BEGIN PRIVATE KEY-----\n-----BEGIN CERTIFICATE-----\n")
    token = tmp_path / "token"
    token.write_text("eyJ")
    kinds = {
        "client_secret": SECRET,
        "certificate_file": {"SYNCD_GRAPH__CERTIFICATE_FILE": str(pem), "SYNCD_GRAPH__CERTIFICATE_PASSWORD": "x"},
        "federated_token_file": {"SYNCD_GRAPH__FEDERATED_TOKEN_FILE": str(token)},
        "managed_identity": {"SYNCD_GRAPH__MANAGED_IDENTITY": "system", "SYNCD_GRAPH__CLIENT_ID": ""},
    }
    for kind, env in kinds.items():
        graph = load_settings(None, {**GRAPH, **BPS, **env}, cwd=EMPTY).graph
        assert [name for name in kinds if getattr(graph, name) is not None] == [kind]

    assert "has several credentials: client_secret, managed_identity; keep exactly one" in problem_of(
        kinds["managed_identity"]
    )
    assert "graph.client_secret: is missing, and so is every other" in problem_of({"SYNCD_GRAPH__CLIENT_SECRET": ""})
    assert "graph.certificate_password: has no certificate" in problem_of({"SYNCD_GRAPH__CERTIFICATE_PASSWORD": "x"})


@pytest.mark.parametrize(
    ("key", "content", "hint"),
    [
        ("SYNCD_GRAPH__CA_FILE", None, "cannot be read: no such file"),
        ("SYNCD_GRAPH__CA_FILE", "", "is an empty file"),
        ("SYNCD_BPS__CA_FILE", "no certificate", "holds no PEM certificate"),
        ("SYNCD_BPS__CA_FILE", "-----BEGIN CERTIFICATE-----\nnonsense\n-----END CERTIFICATE-----\n", "holds no PEM"),
    ],
)
def test_a_ca_file_holds_certificates(key: str, content: str | None, hint: str, tmp_path: Path) -> None:
    """A wrong file is found at the start, not at the first connection."""
    path = tmp_path / "ca.pem"
    if content is not None:
        path.write_text(content)

    problem = problem_of({key: str(path)})

    assert hint in problem
    assert str(path)[:40] in problem


@pytest.mark.parametrize(
    ("content", "hint"),
    [
        ("-----BEGIN CERTIFICATE-----\n", "holds no private key"),
        ("-----BEGIN PRIVATE KEY-----\n", "holds no certificate"),
    ],
)
def test_a_certificate_file_holds_both_parts(content: str, hint: str, tmp_path: Path) -> None:
    """Half a PEM file is the usual mistake."""
    path = tmp_path / "app.pem"
    path.write_text(content)
    env = {"SYNCD_GRAPH__CLIENT_SECRET": "", "SYNCD_GRAPH__CERTIFICATE_FILE": str(path)}

    assert hint in problem_of(env)


def test_key_material_given_in_place_of_a_path_is_not_repeated() -> None:
    """A key in a variable that wants a path is a mistake that must not end in a log."""
    pem = "-----BEGIN PRIVATE KEY-----\nhunter2\n"
    problem = problem_of({"SYNCD_GRAPH__CLIENT_SECRET": "", "SYNCD_GRAPH__CERTIFICATE_FILE": pem})

    assert "is no path" in problem
    assert "hunter2" not in problem


@pytest.mark.parametrize(
    ("zone", "hint"), [("Europe/Warsow", "did you mean Europe/Warsaw?"), ("Europe", "IANA"), ("../x", "IANA")]
)
def test_time_zones_are_known_ones(zone: str, hint: str) -> None:
    """Quiet hours and cron lines must not silently fall to another zone."""
    problem = problem_of({"SYNCD_SCHEDULE__TIMEZONE": zone})

    assert "schedule.timezone: is no known time zone" in problem
    assert hint in problem or "did you mean" in problem


@pytest.mark.parametrize("proxy", ["socks5://u:hunter2@h:1", "proxy:3128", "http://u:hunter2@h/path"])
def test_proxies_speak_http(proxy: str) -> None:
    """Another kind of proxy is refused, its password not repeated."""
    problem = problem_of({"SYNCD_BPS__PROXY_URL": proxy})

    assert "bps.proxy_url: is" in problem
    assert "hunter2" not in problem


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://syncd:p@ss-canary@db.example/syncd",
        "postgresql+psycopg://syncd@corp:s3cret-canary@db.example:5432/syncd?sslmode=require",
        "postgres://syncd:@@canary@db.example/syncd",
    ],
)
def test_an_at_sign_in_the_stores_password_is_refused_without_showing_it(url: str) -> None:
    """Which one ends the password is not to be known, and its tail would be taken for the server's name."""
    with pytest.raises(ConfigError) as raised:
        load({"SYNCD_STORE__URL": url})
    (problem,) = [problem for problem in raised.value.problems if problem.startswith("store.url")]
    assert "write @ as %40" in problem
    assert "canary" not in str(raised.value)
    assert "canary" not in repr(raised.value)


def test_an_at_sign_that_is_encoded_or_in_a_parameter_is_taken() -> None:
    """Only user name, password and host are looked at."""
    url = "postgresql+psycopg://syncd:p%40ss@db.example/syncd?application_name=a@b"
    assert load({"SYNCD_STORE__URL": url}).store.url.reveal() == url


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("postgresql://u:p@db.example:54x2/syncd", "has a port that is no number"),
        ("postgresql://u:p@db.example:99999999/syncd", "has a port that is no number"),
        ("postgresql://u:p@db.example/syncd?sslmod=require", "did you mean sslmode?"),
        ("postgresql://u:p@db.example/syncd?pool_size=9", "has the parameter 'pool_size'"),
        ("postgresql://u:p@db.example/syncd?prepare_threshold=none", "prepare_threshold that is no whole number"),
        ("sqlite:///syncd.db?nolock=1", "has the parameter 'nolock'"),
        ("sqlite:///syncd.db?mod=ro", "did you mean mode?"),
    ],
)
def test_a_store_address_that_no_driver_takes_is_refused_by_name(url: str, problem: str) -> None:
    """At the start and by key, not by a traceback at the first connection."""
    assert problem in problem_of({"SYNCD_STORE__URL": url})


@pytest.mark.parametrize(
    "query", ["?prepare_threshold=5", "?sslmode=verify-full&sslrootcert=/etc/ca.pem", "?host=/run"]
)
def test_parameters_of_the_database_driver_are_taken(query: str) -> None:
    """libpq's keywords, and the one of psycopg."""
    url = f"postgresql+psycopg://syncd@db.example/syncd{query}"
    assert load({"SYNCD_STORE__URL": url}).store.url.reveal() == url
