"""Loading settings: where they come from, how layers combine, and what the operator is told."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Protocol

import pytest

from syncd.config import AttributeRule, ExpressionRule, Interval, LicenceSetting, Settings, layers, load_settings
from syncd.config.lists import salvage_privileges
from syncd.errors import ConfigError

TENANT = "11111111-2222-3333-4444-555555555555"
COMPLETE = f"""
[graph]
tenant_id = "{TENANT}"
client_id = "graph-app"
client_secret = "graph-pass"
[bps]
portal_url = "https://bps.example.com/WEBCONBPS/"
client_id = "bps-app"
client_secret = "bps-pass"
"""


class Load(Protocol):
    def __call__(
        self, toml: str = COMPLETE, env: Mapping[str, str] | None = None, need: frozenset[str] = ...
    ) -> Settings: ...


@pytest.fixture
def load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Load:
    """Load settings of that file text in an empty folder, without the machine's own file."""
    monkeypatch.setattr(layers, "SYSTEM_FILE", tmp_path / "etc" / "syncd.toml")

    def load(
        toml: str = COMPLETE, env: Mapping[str, str] | None = None, need: frozenset[str] = frozenset({"graph", "bps"})
    ) -> Settings:
        (tmp_path / "syncd.toml").write_text(toml, encoding="utf-8")
        return load_settings(None, env or {}, cwd=tmp_path, need=need)

    return load


def problems_of(load: Load, toml: str = COMPLETE, env: Mapping[str, str] | None = None) -> str:
    """Return every problem, one per line."""
    with pytest.raises(ConfigError) as caught:
        load(toml, env)
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None
    return "\n".join(caught.value.problems)


def test_a_misspelt_key_stands_before_what_is_missing_because_of_it(load: Load) -> None:
    """In the file and in the environment: the reader fixes the first line, and the others are gone."""
    secret = 'client_secret = "graph-pass"'
    in_file = problems_of(load, COMPLETE.replace(secret, 'client_secret_fil = "x"'))
    in_environment = problems_of(load, COMPLETE.replace(secret, ""), {"SYNCD_GRAPH__CLIENT_SECRETT": "x"})
    for told in (in_file, in_environment):
        first, *others = told.splitlines()
        assert "did you mean" in first
        assert any("graph.client_secret: is missing" in other for other in others)


def test_a_file_that_is_no_toml_is_named_once(load: Load, tmp_path: Path) -> None:
    """The line begins with 'configuration:' where it is printed; the word is not said again."""
    told = problems_of(load, "[graph\n")
    assert told.startswith("the file syncd.toml: is not valid TOML: ")
    assert f"(value '{str(tmp_path / 'syncd.toml')[:60]}" in told  # long values are cut
    assert "configuration" not in told


def test_defaults_are_those_of_the_contract(load: Load) -> None:
    """What nobody sets is what the administrator was promised."""
    effective = load().effective()

    assert effective["store"] == {"url": "sqlite:///syncd.db", "keep_runs": "400d", "keep_history": "400d"}
    assert effective["schedule"] == {
        "full": "0 2 * * *",
        "delta": "5m",
        "timezone": "Europe/Warsaw",
        "on_start": "delta",
    }
    assert effective["scope"] == {
        "include_groups": [],
        "exclude_groups": [],
        "users": "",
        "groups": "",
        "guests": "skip",
        "agents": "skip",
        "protect": [],
    }
    assert effective["mapping"] == {
        "user": {
            "bps_id": ["userPrincipalName"],
            "name": ["displayName"],
            "email": ["mail", "userPrincipalName"],
            "phone": ["mobilePhone", "businessPhones"],
            "job_title": ["jobTitle"],
            "manager": True,
        },
        "group": {
            "bps_id": 'group.id + "@groups.example.com"',
            "name": ["displayName"],
            "email": ["mail"],
            "owners": False,
        },
    }
    assert effective["policy"] == {
        "mode": "sync",
        "adopt": "match",
        "disabled_users": "revoke",
        "out_of_scope": "revoke",
        "deleted_users": "revoke",
        "deleted_groups": "empty",
        "grace": "30d",
        "substitute": "none",
        "rename_substitute": True,
        "drift": "revert",
        "waves": [],
    }
    assert effective["guard"] == {
        "max_removals": 500,
        "max_removal_percent": 10,
        "min_population": 20,
        "max_adoptions": 0,
        "max_update_percent": 60,
        "max_daily_removals": False,
        "max_daily_removal_percent": 20,
        "max_creation_percent": 100,
        "max_handovers": 0,
        "max_wave_failures": 0,
        "quiet_hours": "",
    }
    assert effective["licences"] == []
    assert effective["health"] == {"listen": "127.0.0.1:8080"}
    assert effective["web"] == {
        "listen": "",
        "tls_certificate_file": None,
        "tls_key_file": None,
        "allow_http": False,
        "external_url": None,
        "sign_in": "entra",
        "client_id": None,
        "client_secret": None,
        "viewers": [],
        "approvers": [],
        "token": None,
    }
    assert effective["notify"] == {
        "webhook_url": None,
        "smtp_url": None,
        "mail_from": None,
        "mail_to": [],
        "events": ["failed", "held", "recovered", "expiring", "failing", "refused_configuration"],
    }
    assert effective["log"] == {"format": "auto", "level": "info"}
    bps = effective["bps"]
    assert isinstance(bps, dict)
    assert (bps["concurrency"], bps["members_per_request"], bps["sync_wait"]) == ("auto", 200, "1m")


def test_effective_settings_are_json(load: Load) -> None:
    """What ``check`` prints can be printed."""
    settings = load(COMPLETE + '[[licences]]\ngroup = "BPS power users"\ntype = "PowerUser"\n')

    assert json.loads(json.dumps(settings.effective()))["licences"] == [
        {"group": "BPS power users", "type": "PowerUser"}
    ]
    assert settings.licences == (LicenceSetting(group="BPS power users", type="PowerUser"),)


def test_the_same_text_gives_equal_settings(load: Load) -> None:
    """A re-read that found nothing new can be told by comparing."""
    assert load() == load()
    assert load() != load(env={"SYNCD_BPS__CONCURRENCY": "5"})


def test_settings_are_frozen(load: Load) -> None:
    """Nobody changes settings while the program runs."""
    with pytest.raises(ValueError, match="frozen"):
        load().bps.concurrency = 9  # type: ignore[misc]


def test_the_file_is_searched_in_the_promised_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """--config beats SYNCD_CONFIG beats ./syncd.toml beats /etc/syncd/syncd.toml, and no file at all is fine."""
    places = {name: tmp_path / name for name in ("option.toml", "variable.toml", "syncd.toml", "system.toml")}
    monkeypatch.setattr(layers, "SYSTEM_FILE", places["system.toml"])
    env = {"SYNCD_CONFIG": "variable.toml"}

    def chosen(path: Path | None, environ: Mapping[str, str]) -> str:
        settings = load_settings(path, environ, cwd=tmp_path, need=frozenset())
        return settings.log.level if settings.file else "no file"

    assert chosen(None, {}) == "no file"
    levels = dict(zip(places, ("debug", "warning", "error", "critical"), strict=True))
    for name in ("system.toml", "syncd.toml", "variable.toml", "option.toml"):
        places[name].write_text(f'[log]\nlevel = "{levels[name]}"\n')
        option = Path("option.toml") if name == "option.toml" else None
        assert chosen(option, env if name in {"variable.toml", "option.toml"} else {}) == levels[name]
    assert chosen(None, {"SYNCD_CONFIG": " "}) == levels["syncd.toml"]


@pytest.mark.parametrize(
    ("option", "environ", "expected"),
    [
        ("gone.toml", {}, "--config: cannot be read: no such file or directory (value"),
        (None, {"SYNCD_CONFIG": "gone.toml"}, "SYNCD_CONFIG: cannot be read: no such file"),
        ("folder", {}, "--config: cannot be read: is a directory"),
        ("broken.toml", {}, "is not valid TOML: Invalid value (at line 2, column 9)"),
        ("latin.toml", {}, "--config: is not UTF-8 text"),
        ("\0", {}, "--config: cannot be read: this is no path"),
    ],
)
def test_a_named_file_that_cannot_be_used_is_a_problem(
    option: str | None, environ: Mapping[str, str], expected: str, tmp_path: Path
) -> None:
    """Somebody who names a file is never run with the defaults instead."""
    (tmp_path / "folder").mkdir()
    (tmp_path / "broken.toml").write_text("[log]\nlevel = loud\n")
    (tmp_path / "latin.toml").write_bytes(b'[log]\nlevel = "\xe9"\n')

    with pytest.raises(ConfigError) as caught:
        load_settings(Path(option) if option else None, environ, cwd=tmp_path, need=frozenset())

    assert expected in str(caught.value)


def test_the_environment_overrides_each_key_and_converts_text(load: Load) -> None:
    """A variable is text; it becomes the kind of value that its key takes."""
    settings = load(
        env={
            "SYNCD_BPS__CONCURRENCY": " 8 ",
            "SYNCD_GUARD__MAX_REMOVALS": "false",
            "SYNCD_GUARD__MAX_ADOPTIONS": "7",
            "SYNCD_POLICY__RENAME_SUBSTITUTE": "no",
            "SYNCD_POLICY__GRACE": "1d12h",
            "SYNCD_SCOPE__INCLUDE_GROUPS": "BPS users, Contractors",
            "SYNCD_SCOPE__PROTECT": '["a,b@example.com"]',
            "SYNCD_SCOPE__USERS": 'user.userType == "Member"',
            "SYNCD_MAPPING__USER__BPS_ID": "mail",
            "SYNCD_MAPPING__USER__EMAIL": "mail, otherMails",
            "SYNCD_MAPPING__USER__PHONE": '["mobilePhone"]',
            "SYNCD_MAPPING__USER__NAME": "[user.givenName, user.surname].join(' ')",
            "SYNCD_MAPPING__GROUP__OWNERS": "true",
            "SYNCD_LICENCES": '[{"group": "BPS users", "type": "User"}]',
            "SYNCD_PRIVILEGES": '[{"group": "Readers", "database": 1, "application": 12, "level": "ReadOnly"}]',
            "SYNCD_LOG__LEVEL": "WARNING",
            "SYNCD_SCHEDULE__DELTA": "",
        }
    )

    assert settings.bps.concurrency == 8
    assert settings.guard.max_removals is None
    assert settings.guard.max_adoptions == 7
    assert settings.policy.rename_substitute is False
    assert settings.policy.grace == timedelta(days=1, hours=12)
    assert settings.scope.include_groups == ("BPS users", "Contractors")
    assert settings.scope.protect == ("a,b@example.com",)
    assert settings.mapping.user.bps_id == AttributeRule(("mail",))
    assert settings.mapping.user.email == AttributeRule(("mail", "otherMails"))
    assert settings.mapping.user.phone == AttributeRule(("mobilePhone",))
    assert settings.mapping.user.name == ExpressionRule("[user.givenName, user.surname].join(' ')")
    assert settings.mapping.group.owners is True
    assert settings.licences[0].group == "BPS users"
    assert settings.privileges[0].application == "12"
    assert settings.log.level == "warning"
    assert settings.schedule.delta == Interval(timedelta(minutes=5))


def test_every_key_has_its_variable(load: Load) -> None:
    """There is no key that the environment cannot set."""
    names = {name for name, _ in layers._variables()}

    for name, known in (
        ("SYNCD_GRAPH__CLIENT_SECRET_FILE", True),
        ("SYNCD_GRAPH__CERTIFICATE_PASSWORD_FILE", True),
        ("SYNCD_BPS__CLIENT_SECRET_FILE", True),
        ("SYNCD_STORE__URL_FILE", True),
        ("SYNCD_NOTIFY__WEBHOOK_URL_FILE", True),
        ("SYNCD_MAPPING__GROUP__BPS_ID", True),
        ("SYNCD_GRAPH__CLIENT_ID_FILE", False),
    ):
        assert (name in names) is known
    for section, values in load().effective().items():
        for key in values if isinstance(values, dict) and section != "mapping" else ():
            assert f"SYNCD_{section}__{key}".upper() in names


def test_what_is_no_setting_is_left_alone(load: Load) -> None:
    """Names that belong to the tests, the container or the platform do not stop the program."""
    env = {
        "SYNCD_CONTAINER": "x",
        "SYNCD_BASE_IMAGE": "x",
        "SYNCD_TEST_POSTGRES": "x",
        "SYNCD_WEBCON_OPENAPI": "x",
        "SYNCD_SERVICE_HOST": "10.0.0.1",
        "SYNCD_SERVICE_PORT_HTTP": "8080",
        "SYNCD_PORT": "tcp://10.0.0.1:8080",
        "SYNCD_PORT_8080_TCP_ADDR": "10.0.0.1",
        "PATH": "/bin",
    }

    assert load(env=env) == load()


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("SYNCD_GRAPH__CLIENT_SECRT", "did you mean SYNCD_GRAPH__CLIENT_SECRET?"),
        ("SYNCD_GRAPH_TENANT_ID", "did you mean SYNCD_GRAPH__TENANT_ID?"),
        ("SYNCD_LICENSES", "did you mean SYNCD_LICENCES?"),
        ("SYNCD_QQ", "settings are named SYNCD_SECTION__KEY"),
    ],
)
def test_an_unknown_variable_is_a_problem_without_its_value(name: str, hint: str, load: Load) -> None:
    """A misspelt secret is not repeated."""
    told = problems_of(load, env={name: "hunter2"})

    assert name in told
    assert hint in told
    assert "hunter2" not in told


@pytest.mark.parametrize(
    ("toml", "expected"),
    [
        ("[policy]\nmdoe = 'sync'", "policy.mdoe: is unknown; did you mean mode?"),
        ("[polcy]\nmode = 'sync'", "polcy: is no section of the configuration; did you mean policy?"),
        ("[store]\nconcurrency = 4", "store.concurrency: is unknown; did you mean bps.concurrency?"),
        ("[mapping]\nuser.bpsid = 'mail'", "mapping.user.bpsid: is unknown; did you mean bps_id?"),
        ("[[licences]]\ngroup='a'\nkind='User'", "licences[0].kind: is unknown"),
        ("[[licences]]\ngroup='a'\nkind='User'", "licences[0].type: is missing; add it to that entry"),
        ("[[licences]]\ngroup=' '\ntype='User'", "licences[0].group: is empty"),
        ("[licences]\ngroup='a'", "licences: must be a list of tables"),
        (
            "[[licences]]\ngroup='a'\ntype='User'\nproject_creation=true",
            "project_creation: is a setting of the type De",
        ),
        ("[[licences]]\ngroup='a'\ntype='User'\nprocesses=[{db_id=1,id=2}]", "processes: is a setting of the type Si"),
        ("[[licences]]\ngroup='a'\ntype='SingleSolutionUser'\nprocesses=[{db_id=1}]", "add its id or its guid"),
        ("[[licences]]\ngroup='a'\ntype='SingleSolutionUser'\nprocesses=[{db_id=1,guid='x'}]", "guid: is no guid"),
        ("log = 'debug'", "log: must be a table"),
        ("[mapping]\nuser = 'mail'", "mapping.user: must be a table"),
        ("[policy]\nmode = 'synk'", "did you mean 'sync'?"),
        ("[policy]\nrename_substitute = 'yes'", "policy.rename_substitute: must be true or false (value 'yes')"),
        ("[mapping]\nuser.manager = 1", "mapping.user.manager: must be true or false (value '1')"),
        ("[guard]\nmin_population = '20'", "guard.min_population: must be a whole number (value '20')"),
        ("[guard]\nmin_population = 1.5", "guard.min_population: must be a whole number"),
        ("[guard]\nmin_population = true", "guard.min_population: must be a whole number"),
        ("[guard]\nmin_population = -1", "guard.min_population: is less than 0 (value '-1'); use 0 or more"),
        ("[guard]\nmax_removals = true", "guard.max_removals: is no limit"),
        ("[guard]\nmax_removals = -5", "guard.max_removals: is no limit (value '-5')"),
        ("[guard]\nmax_removal_percent = 101", "guard.max_removal_percent: is more than everything"),
        ("[scope]\nprotect = 'a@b.c'", "scope.protect: must be a list of texts"),
        ("[scope]\nprotect = ['']", "scope.protect: has an empty entry"),
        ("[store]\nurl = ''", "store.url: is blank"),
        ("[log]\nlevel = 5", "log.level: is none of 'debug'"),
    ],
)
def test_what_cannot_be_used_is_named_with_its_way_out(toml: str, expected: str, load: Load) -> None:
    """Each problem names the key, what is wrong, the value and what to do."""
    told = problems_of(load, toml + "\n" + COMPLETE if toml.startswith("log =") else COMPLETE + toml)

    assert expected in told


@pytest.mark.parametrize("concurrency", [1, 64, '"auto"', '"AUTO"'])
def test_concurrency_has_bounds(concurrency: int | str, load: Load) -> None:
    """1 to 64 requests in flight, not one more, or as many as the portal bears."""
    toml = COMPLETE.replace("[bps]", "[bps]\nconcurrency = {}")

    wanted = "auto" if isinstance(concurrency, str) else concurrency
    assert load(toml.format(concurrency)).bps.concurrency == wanted
    assert "bps.concurrency: is less than 1 (value '0')" in problems_of(load, toml.format(0))
    assert """bps.concurrency: is more than 64 (value '65'); use 1 to 64, or "auto\"""" in problems_of(
        load, toml.format(65)
    )
    for wrong in ('"4"', '"many"', "true", "1.5"):
        assert 'bps.concurrency: is neither "auto" nor a whole number' in problems_of(load, toml.format(wrong))


def test_all_problems_come_at_once_and_sorted(load: Load) -> None:
    """An administrator corrects the file once, not once per mistake."""
    told = problems_of(
        load,
        '[graph]\ntenant_id = "common"\n[bps]\nconcurrency = "4"\n[policy]\nmode = "x"\ngrace = 30\n',
        {"SYNCD_LOG__LEVEL": "loud", "SYNCD_NOPE": "1", "SYNCD_LICENCES": "[{"},
    ).splitlines()

    keys = [line.partition(":")[0] for line in told]
    assert keys == sorted(keys)
    assert set(keys) == {
        *("graph.tenant_id", "graph.client_id", "graph.client_secret", "bps.portal_url", "bps.client_id"),
        *("bps.client_secret", "bps.concurrency", "policy.mode", "policy.grace", "log.level", "licences", "SYNCD_NOPE"),
    }
    assert any("(value 'loud', from SYNCD_LOG__LEVEL)" in line for line in told)
    assert all(";" in line for line in told)


def test_a_blank_text_is_not_set(load: Load) -> None:
    """The example file can keep its empty lines; a required key stays missing."""
    toml = COMPLETE.replace('client_id = "bps-app"', 'client_id = ""\nca_file = ""\nproxy_url = ""')

    assert problems_of(load, toml).startswith("bps.client_id: is missing; set it in [bps] or as SYNCD_BPS__CLIENT_ID")


def test_commands_that_only_need_the_store_do_without_the_sides(load: Load) -> None:
    """``runs`` works where the secrets are not; the sides say what they lack when they are asked for."""
    settings = load('[bps]\nclient_secret_file = "/nowhere/secret"\n', need=frozenset())

    assert settings.effective()["graph"] is None
    with pytest.raises(ConfigError) as graph:
        _ = settings.graph
    with pytest.raises(ConfigError) as bps:
        _ = settings.bps
    assert len(graph.value.problems) == 3
    assert any("bps.client_secret_file: cannot be read" in problem for problem in bps.value.problems)


def test_wrong_values_count_even_where_a_side_is_not_needed(load: Load) -> None:
    """A typing error is told by whatever command sees it first."""
    with pytest.raises(ConfigError) as caught:
        load('[graph]\ntenant = "x"\n[bps]\nconcurrency = 0\n', need=frozenset())

    assert [problem.partition(":")[0] for problem in caught.value.problems] == ["graph.tenant", "bps.concurrency"]


def test_sources_are_named(load: Load, tmp_path: Path) -> None:
    """``check`` can say where a section came from."""
    source = load(env={"SYNCD_GRAPH__CLOUD": "china", "SYNCD_LOG__LEVEL": "debug"}).source

    assert source["graph"] == f"{tmp_path / 'syncd.toml'} + environment"
    assert (source["log"], source["store"]) == ("environment", "defaults")


RULE = 'group = "Readers"\ndatabase = 1\nlevel = "ReadOnly"\n'


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ('group = "A"\napplication = "I"\nlevel = "ReadOnly"', "privileges[0].database: is missing"),
        (RULE, "privileges[0]: names no place; name one: application, process, or form_type with its workflow"),
        (RULE + 'application = "I"\nprocess = "P"', "privileges[0]: names several places: application, process"),
        (RULE + 'application = "I"\nworkflow = "W"', "privileges[0].workflow: has no form type"),
        (RULE + 'form_type = "F"', "privileges[0].workflow: is missing; name the workflow"),
        (RULE + 'application = "I"\ncompany = "PL01"', "privileges[0].company: belongs to rules for processes"),
        (RULE + 'application = " "', "privileges[0].application: is empty"),
        (RULE + 'application = "I"\ncolour = 1', "privileges[0].colour: is unknown"),
        (RULE.replace("ReadOnly", "Start") + 'application = "I"', "is no level of an application"),
        (RULE.replace("ReadOnly", "readonly") + 'process = "P"', "did you mean ReadOnly?"),
        (RULE.replace("ReadOnly", "X") + 'process = "P"', "use Administrator, Modify, ReadOnly, ReadOnlyWithout"),
        (RULE + 'application = "I"\n[[privileges]]\n' + RULE.replace("Readers", "readers") + "application='I'",
         "privileges[1]: says the same as privileges[0]; remove it"),
    ],
)  # fmt: skip
def test_a_rule_about_privileges_that_cannot_be_meant_is_refused(rule: str, expected: str, load: Load) -> None:
    """The level must be one of the place's, a company belongs to processes and form types, and no rule stands twice."""
    assert expected in problems_of(load, f"{COMPLETE}[[privileges]]\n{rule}\n")


def test_everything_that_is_wrong_with_rules_about_privileges_is_told_at_once(load: Load) -> None:
    """A wrong level does not hide that the place is missing, nor the one entry what is wrong with the other."""
    told = problems_of(load, f'{COMPLETE}[[privileges]]\nlevel = "X"\n[[privileges]]\n{RULE}form_type = "F"\nx = 1')

    for key in ("[0].level", "[0].group", "[0].database", "[0]: names no place", "[1].workflow", "[1].x"):
        assert f"privileges{key}" in told


def test_what_a_wrong_rule_names_can_be_looked_up_all_the_same() -> None:
    """By its number, with its places and company; what names no place, several, or no group cannot."""
    entries = [
        {"group": "A", "database": 1, "application": "I", "level": "Reader", "colour": 1},
        {"group": "A", "database": 1, "process": 12, "company": "PL01"},
        {"group": "A", "database": 1, "application": "I", "company": "PL01", "level": "ReadOnly"},
        {"group": "A", "database": 1, "level": "X"},
        {"group": "A", "database": 1, "application": "I", "process": "P", "level": "X"},
        {"group": "A", "database": 0, "application": "I", "level": "X"},
        {"group": "A", "database": 1, "form_type": "F", "level": "X"},
        "nonsense",
    ]
    found = salvage_privileges(entries)
    assert [(number, one.kind, one.application or one.process, one.company) for number, one in found.items()] == [
        (0, "application", "I", None),
        (1, "process", "12", "PL01"),
        (2, "application", "I", None),
    ]
    assert salvage_privileges("nonsense") == {}


def test_places_are_named_by_number_guid_or_name(load: Load) -> None:
    """A number may be written as one; the kind of place is what is named."""
    rules = "".join(
        f"[[privileges]]\n{RULE}{place}\n"
        for place in ("application = 12", 'process = "Suppliers"', 'form_type = "F"\nworkflow = 3\ncompany = "PL01"')
    )
    found = load(COMPLETE + rules).privileges

    assert [rule.kind for rule in found] == ["application", "process", "form_type"]
    assert found[0].application == "12"
    assert (found[2].workflow, found[2].company) == ("3", "PL01")
