"""Where messages go by the settings: mail servers that are never spoken to in clear, addresses, events, and dates."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from syncd.config import Settings, load_settings
from syncd.config.smtp import SmtpServer, read_smtp_url
from syncd.config.values import parse_date
from syncd.errors import ConfigError

SIDES = {
    "SYNCD_GRAPH__TENANT_ID": "contoso.com",
    "SYNCD_GRAPH__CLIENT_ID": "graph",
    "SYNCD_GRAPH__CLIENT_SECRET": "one",
    "SYNCD_BPS__PORTAL_URL": "https://bps.example.com",
    "SYNCD_BPS__CLIENT_ID": "bps",
    "SYNCD_BPS__CLIENT_SECRET": "two",
}
MAIL = {"SYNCD_NOTIFY__MAIL_FROM": "syncd@example.com", "SYNCD_NOTIFY__MAIL_TO": "it@example.com, duty@example.com"}


def load(env: dict[str, str], file: Path | None = None) -> Settings:
    """Load settings from variables, above both sides configured."""
    return load_settings(file, {**SIDES, **env}, cwd=Path("/nowhere"))


def problems_of(env: dict[str, str]) -> str:
    """Return every problem."""
    with pytest.raises(ConfigError) as caught:
        load(env)
    return "\n".join(caught.value.problems)


@pytest.mark.parametrize(
    ("url", "server"),
    [
        ("smtps://mail.example.com", SmtpServer(host="mail.example.com", port=465, implicit_tls=True)),
        ("smtps://mail.example.com:4650/", SmtpServer(host="mail.example.com", port=4650, implicit_tls=True)),
        (
            "smtp://mail.example.com:25?starttls=required",
            SmtpServer(host="mail.example.com", port=25, implicit_tls=False),
        ),
        (
            "smtp://mail.example.com?starttls=required",
            SmtpServer(host="mail.example.com", port=587, implicit_tls=False),
        ),
        (
            "smtps://it%40example.com:p%3Aa%2Fs%40s@[::1]:465",
            SmtpServer(host="::1", port=465, implicit_tls=True, user="it@example.com", password="p:a/s@s"),
        ),
        (
            "smtps://it@example.com:secret@mail.example.com",
            SmtpServer(host="mail.example.com", port=465, implicit_tls=True, user="it@example.com", password="secret"),
        ),
    ],
)
def test_a_mail_server_is_named_by_an_address(url: str, server: SmtpServer) -> None:
    """With TLS from the start or by STARTTLS, with or without a user."""
    assert read_smtp_url(url) == server
    assert "secret" not in repr(server)


@pytest.mark.parametrize(
    ("url", "said"),
    [
        (
            "smtp://mail.example.com:25",
            "travel readable (from SYNCD_NOTIFY__SMTP_URL); add ?starttls=required",
        ),
        ("smtp://mail.example.com?starttls=optional", "would let mail and password travel readable"),
        ("smtps://mail.example.com?starttls=required", "where TLS is there from the start"),
        ("smtp://mail.example.com?starttls=required&tls=no", "unknown option tls"),
        ("mail.example.com:25", "is no address of a mail server"),
        ("https://mail.example.com", "is no address of a mail server"),
        ("smtps://", "is no address of a mail server"),
        ("smtps://u:pa/ss@mail.example.com", "is no address of a mail server"),
        ("smtps://u:12/34@mail.example.com", "is more than a mail server"),
        ("smtps://mail.example.com\r\nX", "is no address of a mail server"),
        ("smtps://somebody@mail.example.com", "user name without a password"),
        ("smtps://:sesame@mail.example.com", "user name without a password"),
    ],
)
def test_a_mail_server_in_clear_is_refused_at_the_start(url: str, said: str) -> None:
    """By the key, with the way out, and without the address, which holds a password."""
    found = problems_of({**MAIL, "SYNCD_NOTIFY__SMTP_URL": url})
    assert said in found
    assert found.startswith("notify.smtp_url")
    assert "mail.example.com" not in found.replace("mail.example.com:465 or smtp://mail.example.com:25", "")


def test_the_password_of_a_mail_server_is_shown_nowhere(tmp_path: Path) -> None:
    """Masked in what `check` prints; in a file of its own it is read again."""
    file = tmp_path / "smtp"
    file.write_text("smtps://u:sesame@mail.example.com\n")
    settings = load({**MAIL, "SYNCD_NOTIFY__SMTP_URL_FILE": str(file)})
    assert settings.notify.smtp_url is not None
    assert settings.notify.smtp_url.reveal() == "smtps://u:sesame@mail.example.com"
    assert settings.effective()["notify"] == {
        "webhook_url": None,
        "smtp_url": "smtps://u:********@mail.example.com",
        "mail_from": "syncd@example.com",
        "mail_to": ["it@example.com", "duty@example.com"],
        "events": ["failed", "held", "recovered", "expiring", "failing", "refused_configuration"],
    }
    file.write_text("smtp://mail.example.com")
    assert settings.notify.smtp_url.reveal() == "smtps://u:sesame@mail.example.com"


def test_a_mail_server_needs_a_sender_and_recipients() -> None:
    """And these need it: what is forgotten is told at the start, and not by the first mail that does not come."""
    found = problems_of({"SYNCD_NOTIFY__SMTP_URL": "smtps://mail.example.com"})
    assert "notify.mail_from: is missing, and smtp_url is set" in found
    assert "notify.mail_to: is missing, and smtp_url is set" in found
    assert "notify.mail_to: is set, and no smtp_url" in problems_of(MAIL)


@pytest.mark.parametrize(
    "address",
    ["IT <it@example.com>", "it", "it@", "a@b@c", "it@exämple.com", "it@example.com\r\nBcc: x@y.z", "it @example.com"],
)
def test_a_mail_address_can_end_no_header(address: str) -> None:
    """Only bare addresses are taken."""
    settings = {**MAIL, "SYNCD_NOTIFY__SMTP_URL": "smtps://mail.example.com", "SYNCD_NOTIFY__MAIL_FROM": address}
    assert "notify.mail_from: is no mail address" in problems_of(settings)


def test_only_events_that_there_are_can_be_chosen() -> None:
    """A misspelt one would be silence."""
    assert load({"SYNCD_NOTIFY__EVENTS": "held, failed"}).notify.events == ("held", "failed")
    found = problems_of({"SYNCD_NOTIFY__EVENTS": "held, expired"})
    assert "notify.events: names no event: 'expired'" in found
    assert "did you mean expiring?" in found


def test_a_date_is_one_of_toml_or_a_text(tmp_path: Path) -> None:
    """Of the calendar, without a time of the day; a variable is text."""
    file = tmp_path / "syncd.toml"
    file.write_text("[bps]\nclient_secret_expires = 2027-05-01\n")
    settings = load({"SYNCD_GRAPH__CLIENT_SECRET_EXPIRES": "2027-06-30"}, file)
    assert (settings.bps.client_secret_expires, settings.graph.client_secret_expires) == (
        date(2027, 5, 1),
        date(2027, 6, 30),
    )
    assert parse_date("2028-02-29") == date(2028, 2, 29)
    for text in ("2027-02-30", "2027-5-1", "1.5.2027", "2027-05-01T10:00:00Z", "soon"):
        assert "write the day like 2027-05-01" in problems_of({"SYNCD_BPS__CLIENT_SECRET_EXPIRES": text})
    file.write_text("[bps]\nclient_secret_expires = 2027-05-01T10:00:00Z\n")
    with pytest.raises(ConfigError, match="is a time of a day"):
        load({}, file)


def test_an_end_without_a_secret_is_refused() -> None:
    """The date of a certificate stands in it."""
    settings = {
        "SYNCD_GRAPH__CLIENT_SECRET": "",
        "SYNCD_GRAPH__MANAGED_IDENTITY": "system",
        "SYNCD_GRAPH__CLIENT_SECRET_EXPIRES": "2027-05-01",
    }
    assert "graph.client_secret_expires: has no client secret that could end" in problems_of(settings)
