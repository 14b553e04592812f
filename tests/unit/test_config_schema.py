"""The JSON Schema of the settings: valid by its own standard, and of one mind with the program about every file."""

from __future__ import annotations

import json
import re
import tomllib
from typing import Any

import pytest
from click.testing import CliRunner
from jsonschema import Draft202012Validator

from syncd.cli.main import program
from syncd.config.schema import make_schema
from tests.unit import pages
from tools.reference_settings import list_keys

SCHEMA = make_schema()
CHECK = Draft202012Validator(SCHEMA)


def test_the_schema_is_one_and_is_what_the_command_prints() -> None:
    """By the draft that it names; as one document on stdout."""
    Draft202012Validator.check_schema(SCHEMA)
    printed = CliRunner().invoke(program, ["config", "schema"])
    assert printed.exit_code == 0
    assert json.loads(printed.stdout) == json.loads(json.dumps(SCHEMA))


def _list_keys(schema: dict[str, Any], prefix: str) -> list[str]:
    found = []
    for name, each in schema.get("properties", {}).items():
        reference = each.get("$ref", "").removeprefix("#/$defs/")
        inner = SCHEMA["$defs"].get(reference, each)
        inner = inner.get("items", inner)
        inner = SCHEMA["$defs"].get(str(inner.get("$ref", "")).removeprefix("#/$defs/"), inner)
        below = _list_keys(inner, f"{prefix}{name}.")
        found += below
        if not below or (prefix and each.get("type") == "array"):
            found.append(f"{prefix}{name}")
    return found


def test_every_setting_is_in_the_schema_and_nothing_else() -> None:
    """Secrets with the twin that names a file."""
    keys = {key for key in _list_keys(SCHEMA, "") if not key.endswith("_file") or key in list_keys()}
    assert keys == set(list_keys())


def _read(text: str) -> object:
    """Return a file as editors hand it to a schema: a date is a text there."""
    return json.loads(json.dumps(tomllib.loads(text), default=str))


def test_the_example_and_every_file_of_the_manual_fit() -> None:
    """What can be copied is not refused by an editor."""
    texts = [(pages.ROOT / "deploy/syncd.toml").read_text(encoding="utf-8")]
    for page in pages.list_pages():
        texts += re.findall(r"^```toml\n(.*?)^```$", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    assert len(texts) > 20
    for text in texts:
        assert [error.message for error in CHECK.iter_errors(_read(text))] == []


@pytest.mark.parametrize(
    "text",
    [
        "[scope]\nguets = 'mail'",
        "[scope]\nguests = 'perhaps'",
        "[nonsense]\nx = 1",
        "[guard]\nmax_removals = true",
        "[guard]\nmax_removals = -1",
        "[bps]\nconcurrency = 1000",
        "[[licences]]\ntype = 'User'",
        "[mapping]\nuser.name = 7",
        "[policy]\nrename_substitute = 'yes'",
    ],
)
def test_what_the_program_refuses_at_a_look_the_schema_refuses(text: str) -> None:
    """Unknown keys, other words, numbers out of their range, missing parts."""
    assert list(CHECK.iter_errors(tomllib.loads(text)))


@pytest.mark.parametrize(
    "text",
    [
        "[guard]\nmax_removals = false",
        "[mapping]\nuser.email = ['mail', 'userPrincipalName']",
        "[mapping]\nuser.email = 'user.mail'",
        "[store]\nurl_file = '/run/secrets/store'",
        "[schedule]\ndelta = '5m'",
    ],
)
def test_what_may_be_written_in_two_ways_fits_in_both(text: str) -> None:
    """A limit that is off, a list or an expression, a secret or its file."""
    assert not list(CHECK.iter_errors(tomllib.loads(text)))


def test_defaults_are_as_a_file_has_them() -> None:
    """No type of Python's, no null."""
    properties = SCHEMA["properties"]
    assert properties["policy"]["properties"]["grace"]["default"] == "30d"
    assert properties["schedule"]["properties"]["full"]["default"] == "0 2 * * *"
    assert SCHEMA["$defs"]["UserMapping"]["properties"]["email"]["default"] == ["mail", "userPrincipalName"]
    assert "null" not in json.dumps(SCHEMA)
