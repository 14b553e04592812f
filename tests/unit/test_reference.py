"""The reference is what the program says: its tables are made anew and compared, and each row has its meaning."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest

from tests.unit import pages
from tools import (
    reference,
    reference_commands,
    reference_errors,
    reference_logs,
    reference_reasons,
    reference_settings,
    reference_usage,
    reference_web,
)
from tools.reference_table import escape

MADE = reference.list_pages()


def _name(page: object) -> str:
    return str(page).removeprefix(f"{pages.ROOT}/")


@pytest.mark.parametrize("page", MADE, ids=_name)
def test_a_page_is_as_the_program_makes_it(page: Path) -> None:
    """Keys, values, defaults, commands, options, events, metrics, knobs: where one differs, run make reference."""
    text = page.read_text(encoding="utf-8")
    assert reference.remake(text) == text


@pytest.mark.parametrize("page", MADE, ids=_name)
def test_every_row_says_what_it_means(page: Path) -> None:
    """A new key, event or knob fails until somebody has written its meaning into the last column."""
    assert reference.list_unwritten(page.read_text(encoding="utf-8")) == []


ADVICE = ("errors-own", "errors-sides", "errors-usage", "reasons")


def list_advice(name: str) -> list[str]:
    """Return what the rows of a page of errors say to do."""
    rows = [line for line in pages.read(f"reference/{name}.md").splitlines() if line.startswith("| `")]
    return [re.split(r"(?<!\\)\|", row)[-2].strip() for row in rows]


@pytest.mark.parametrize("name", ADVICE)
def test_every_message_has_advice_of_its_own(name: str) -> None:
    """Whoever looks a sentence up reads more than the sentence, and not what stands beside every other one."""
    advice = list_advice(name)
    assert len(advice) > 70
    assert [text for text in advice if "says it itself" in text] == []
    assert [text for text in advice if len(text.split()) < 8 or not text.endswith(".")] == []
    assert [text for text, times in Counter(advice).items() if times > 1] == []


def test_a_search_for_any_name_or_message_finds_its_page() -> None:
    """Each setting, command, metric, event, error and reason stands on a page of the reference as it is written."""
    text = "".join(page.read_text(encoding="utf-8") for page in (pages.DOCS / "reference").glob("*.md"))
    searched = {
        "settings": reference_settings.list_keys(),
        "commands": [path for path, _ in reference_commands.list_commands()],
        "metrics": [name for name, _, _ in reference_web.list_metrics()],
        "events": reference_logs.list_events(),
        "problems of settings": list(reference_errors.list_problems()),
        "errors": [sentence for sentence, _ in reference_errors.list_sentences()],
        "what the command line refuses": [*reference_usage.list_usage(), *reference_usage.list_of_library()],
        "reasons": reference_reasons.list_reasons(),
    }
    for kind, names in searched.items():
        assert len(list(names)) > 20, kind
        assert [name for name in names if f"`{escape(name)}" not in text] == [], kind


def test_every_part_has_its_place() -> None:
    """What the program can make stands on exactly one page, so that nothing is compared with nothing."""
    text = "".join(page.read_text(encoding="utf-8") for page in MADE)
    assert sorted(re.findall(r"<!-- made by make reference: ([a-z ]+) -->", text)) == sorted(reference.MAKERS)
    assert text.count("<!-- end -->") == len(reference.MAKERS)


def test_what_people_wrote_is_kept() -> None:
    """Making a page anew changes the facts of a row and never its meaning, not even one with a bar in it."""
    begin, end = "<!-- made by make reference: faults -->\n", "<!-- end -->\n"
    old = f"{begin}\n| `status` | said \\| by hand |\n| `gone` | nobody |\n\n{end}"
    made = reference.remake(old)
    assert "| `status` | said \\| by hand |" in made
    assert "gone" not in made
    assert "`html`" in reference.list_unwritten(made)
    assert "`status`" not in reference.list_unwritten(made)


def test_the_events_are_really_found() -> None:
    """Those of a direct call, of a chosen level, of an event that is handed on, and with all their fields."""
    events = reference_logs.list_events()
    assert events["run.started"].levels == {"info"}
    assert events["run.started"].fields == ["kind", "trigger"]
    assert events["run.finished"].levels == {"info", "warning"}
    assert events["run.finished"].more
    assert (events["store.error"].levels, events["store.error"].fields) == ({"error"}, ["error"])


def test_the_sentences_of_errors_are_really_found() -> None:
    """Those with parts that differ, with a text that a constant holds, and in a list of problems."""
    sentences = reference_errors.list_sentences()
    assert sentences["its end is missing: it was cut short; make the plan again", False] == {"UnusablePlanFile"}
    assert sentences["the private key in graph.certificate_file is encrypted; set …", True]
    assert sentences["the store did not answer within … seconds", False] == {"StoreError"}
    assert sentences["the settings are nested too deep to be read; no setting needs more than three levels", False]
    assert not any(sentence.startswith("… … ") for sentence, _ in sentences)
    for sentence in (
        "something before … does not let … through …: let the gateway or the web server there pass it…",  # a variable
        "something before … takes no request of this size …: raise the limit that it sets for bodies",
        "it wants a user name and a password; write them into …, as in http://USER:PASSWORD@HOST:PORT",  # a helper
        "the id token is of another tenant",  # a class of the module's own
    ):
        assert (sentence, True) in sentences, sentence
    refused = sentences["… refuses user name or password of …: …", True]  # a class that is chosen
    assert refused == {"AuthFailed", "Rejected", "Unavailable"}
    moved = [sentence for sentence, _ in sentences if sentence.startswith("graph.tenant_id: the store belongs")]
    assert len(moved) == 1  # in a list that a variable holds


def test_the_sentences_about_settings_are_really_found() -> None:
    """Those that parsers refuse with, those of whole sections, those of expressions; each with its way out."""
    problems = reference_errors.list_problems()
    assert problems["is neither a GUID nor a domain"] == {"copy the Directory (tenant) ID from the Entra admin centre"}
    assert "is missing" in problems
    assert "compares …, which is …, with …" in problems
    assert problems["calls …(), which does not exist"] == {"did you mean …()?", "use another function"}


HANDED_ON = {
    "bootstrap/rule_names.py": {"[*sorted({*error.problems, *found}), *more]", "found"},
    "cli/asking.py": {"why"},
    "cli/options.py": {"wrong"},
    "cli/screen/history.py": {"str(error)"},
    "config/files.py": {"file_failure(error)"},
    "config/load.py": {
        "[*map(str, file.problems), *list_problems(environment.problems)]",
        "list_problems(reader.problems)",
    },
    "config/mapping.py": {"*problem", "*complaint"},
    "config/secret.py": {"file_failure(error)"},
    "config/settings.py": {"self.graph_side.problems", "self.bps_side.problems"},
    "graph/listings.py": {"str(error)"},
    "graph/lookups.py": {"str(error)"},
    "graph/streams.py": {"str(error)"},
    "graph/wire/refusals.py": {"f'{refused}; {remedy}'"},
    "store/db/database.py": {"explain(error, self.engine.url)", "explain(error, database.engine.url)"},
    "store/db/lock.py": {"explain(error, self._database.engine.url)"},
    "store/db/revision.py": {"explain(error, database.engine.url)"},
    "sync/planning/drift.py": {"say_restored(found)"},
    "sync/planning/named_groups.py": {"problems"},
    "sync/portal/privileges.py": {"problems", "sorted(problems)"},
    "sync/portal/restored.py": {"say_restored(found)"},
    "sync/pull/member_witness.py": {"str(error)"},
    "sync/push.py": {"say_restored(restored)"},
}
"""Errors whose words come from elsewhere, where they are found: another error, a list of problems, a reason."""


def test_the_sentences_of_the_command_line_are_really_found() -> None:
    """Ours, of each class that commands refuse with; the library's; and what stands on stderr beside a result."""
    own, library, said = (
        reference_usage.list_usage(),
        reference_usage.list_of_library(),
        reference_usage.list_said(),
    )
    assert "… is no run: give its number, or 'last'" in own
    assert "--apply and --dismiss: one writes what was lost, the other lets it go" in own
    assert "the sandbox cannot start: …" in own
    assert {"No such option ….", "Missing argument", "… is not ….", "… … does not exist."} <= set(library)
    assert "syncd: the lock on the store is lost; stopping" in said


def test_the_library_is_met_by_the_types_that_its_sentences_are_of() -> None:
    """Sentences of other types are left out of the page: a command with a new type fails here."""
    types = {
        type(option.type).__name__ for _, command in reference_commands.list_commands() for option in command.params
    }
    assert types <= {
        "Choice",
        "FloatRange",
        "FuncParamType",
        "IntParamType",
        "IntRange",
        "Path",
        "StringParamType",
        "BoolParamType",
    }


def test_no_error_is_made_of_words_that_the_tables_do_not_see() -> None:
    """A new way of putting a sentence together has to be taught to the finder, or named above with its source."""
    assert reference_errors.list_unfound() == HANDED_ON


def test_the_commands_are_really_found() -> None:
    """Those inside of groups as well, and a group that does something itself."""
    paths = [path for path, _ in reference_commands.list_commands()]
    assert {"syncd run", "syncd sync user", "syncd runs", "syncd runs show"} <= set(paths)
    assert "syncd sync" not in paths
    assert {"--wait", "--dry-run", "--json"} <= set(reference_commands.list_option_names())


def test_the_metrics_are_really_found() -> None:
    """With the names that Prometheus sees, and their labels."""
    assert ("syncd_changes_total", "counter", "`action`, `object`, `outcome`") in reference_web.list_metrics()


PROSE = [page for page in pages.list_pages() if page.name not in ("CHANGELOG.md", "BENCHMARKS.md")]
NO_SETTINGS = frozenset({"scope.rules", "mapping.manager", "source.owners", "source.owns"})
"""Keys of the document of `syncd explain`, which only look like settings."""


_FUNCTIONS = ("lists.range",)
"""Functions of rules, which only look like events."""


_FOR_USERS = {"tutorial", "how-to", "explanation", "runbooks"}
_NO_NAME = re.compile(r"\.(md|toml|txt|db|lock|pem|cer|mjs|ya?ml|com|example)$|^(user|group)\.")


@pytest.fixture(scope="module")
def known() -> frozenset[str]:
    """Everything of the program that is written as two words with a point between them."""
    checks = re.findall(r"`([a-z]+\.[a-z_]+)`", pages.read("reference/checks.md"))
    keys = reference_settings.list_keys()
    twins = [f"{key}_file" for key in keys]
    tables = {key.rpartition(".")[0] for key in keys}
    return frozenset({*keys, *twins, *tables, *checks, *reference_logs.list_events(), *NO_SETTINGS, *_FUNCTIONS})


@pytest.mark.parametrize("page", PROSE, ids=_name)
def test_a_page_names_only_settings_and_events_that_there_are(page: Path, known: frozenset[str]) -> None:
    """Whatever looks like a setting or a log event, by the word before its point, is one."""
    prose = pages.strip_blocks(page.read_text(encoding="utf-8"))
    areas = {name.partition(".")[0] for name in known}
    named = set(re.findall(r"`([a-z]+\.(?!py`)[a-z_.]+[a-z])(?: = [^`]*)?`", prose))
    if _FOR_USERS & set(
        page.parts
    ):  # every name there is one of the program's, but for those of files, hosts and rules
        areas = {name.partition(".")[0] for name in named if not _NO_NAME.search(name)}
    assert {name for name in named if name.partition(".")[0] in areas} - known == set()
