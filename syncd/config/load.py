"""Read the settings once, and say everything that is wrong with them at once."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from syncd.config import layers
from syncd.config.base import CheckExpression, Section, Surroundings
from syncd.config.explain import explain, missing_key, unknown_section
from syncd.config.files import SecretFile
from syncd.config.layers import Layer, Table
from syncd.config.lists import check_privileges, salvage_privileges
from syncd.config.problem import Problem, list_problems
from syncd.config.sections import LISTS, SECRET_KEYS, SECTIONS, PrivilegeSetting
from syncd.config.settings import Missing, Settings
from syncd.config.web import WebSettings, check_web
from syncd.errors import ConfigError
from syncd.model.kinds import RecordKind, RulePurpose
from syncd.model.sides import BOTH_SIDES

_MOST_TOLD = 50
"""So many problems of one section are told one by one."""
CREDENTIALS = ("client_secret", "certificate_file", "federated_token_file", "managed_identity")


def _no_check(expression: str, entity: RecordKind, purpose: RulePurpose) -> tuple[str, str] | None:
    del expression, entity, purpose
    return None


def load_settings(
    path: Path | None,
    environ: Mapping[str, str],
    *,
    check_expression: CheckExpression = _no_check,
    cwd: Path | None = None,
    need: frozenset[str] = BOTH_SIDES,
    only: frozenset[str] | None = None,
    option: str = "--config",
) -> Settings:
    """Return the settings of file and environment, or raise ``ConfigError`` with every problem, unknown keys first.

    ``path`` is what ``option`` named. ``check_expression`` judges the CEL expressions.
    ``cwd`` is where relative paths begin (default: the working directory). ``need`` names the sides that the command
    talks to: what another side merely lacks is no problem until ``settings.graph`` or ``settings.bps`` is asked for.
    ``only`` names the sections that must be right; what is wrong elsewhere is set aside, with defaults in its place.
    """
    try:
        file = layers.read_file(path, environ, cwd=cwd or Path.cwd(), option=option)
        return _load(file, environ, check_expression=check_expression, cwd=cwd or Path.cwd(), need=need, only=only)
    except RecursionError:
        raise ConfigError(
            ["the settings are nested too deep to be read; no setting needs more than three levels"]
        ) from None


def load_named_places(
    path: Path | None, environ: Mapping[str, str], *, cwd: Path | None = None
) -> dict[int, PrivilegeSetting]:
    """Return, by number, what rules about privileges name, of which a level or another key may be wrong."""
    merged = layers.merge(layers.read_file(path, environ, cwd=cwd or Path.cwd()), layers.read_environment(environ))
    return salvage_privileges(merged.values.get("privileges"))


def _load(
    file: Layer,
    environ: Mapping[str, str],
    *,
    check_expression: CheckExpression,
    cwd: Path,
    need: frozenset[str],
    only: frozenset[str] | None,
) -> Settings:
    environment = layers.read_environment(environ)
    if file.problems:
        raise ConfigError([*map(str, file.problems), *list_problems(environment.problems)])
    merged = layers.merge(file, environment)
    reader = _Reader(merged, Surroundings(cwd, check_expression))
    loaded = {name: reader.read_section(name) for name in SECTIONS}
    lists = {name: reader.read_list(name) for name in LISTS}
    reader.refuse_unknown_sections()

    missing: dict[str, Missing] = {}
    for side in BOTH_SIDES - need:
        absent = tuple(problem for problem in reader.problems if problem.section == side and problem.absent)
        if absent:
            missing[side] = Missing(list_problems(absent))
            reader.problems = [problem for problem in reader.problems if problem not in absent]
    aside: list[Problem] = []
    if need != BOTH_SIDES:  # the files of the console need not be there for a command that is typed elsewhere
        aside = [problem for problem in reader.problems if problem.section == "web" and problem.absent]
        reader.problems = [problem for problem in reader.problems if problem not in aside]
    if only is not None:
        aside += [problem for problem in reader.problems if not _concerns(problem, only)]
        reader.problems = [problem for problem in reader.problems if _concerns(problem, only)]
    if reader.problems:
        where = layers.describe_place(file, environment, cwd=cwd)
        raise ConfigError(list_problems(reader.problems), where=where)
    for name in [name for name, section in loaded.items() if section is None]:
        if name in BOTH_SIDES:
            told = list_problems(problem for problem in aside if problem.section == name)
            missing.setdefault(name, Missing(told))
        else:
            loaded[name] = SECTIONS[name]()
    sides = {f"{side}_side": missing.get(side) or loaded.pop(side) for side in sorted(BOTH_SIDES)}
    own = {name: section for name, section in loaded.items() if name not in BOTH_SIDES}
    return Settings.model_validate(
        {
            **sides,
            **own,
            **lists,
            "source": _sources(file, environment),
            "file": file.file,
            "set_aside": list_problems(aside),
        }
    )


def _concerns(problem: Problem, sections: frozenset[str]) -> bool:
    """Return whether a problem is one of these sections, or of a variable that looks as if it belonged to one."""
    variable = problem.section.upper().removeprefix(layers.PREFIX)
    return problem.section in sections or any(variable.startswith(f"{name.upper()}_") for name in sections)


class _Reader:
    """Turn raw tables into sections, and collect what stands in the way."""

    def __init__(self, layer: Layer, surroundings: Surroundings) -> None:
        self._layer = layer
        self._surroundings = surroundings
        self.problems: list[Problem] = list(layer.problems)

    def read_section(self, name: str) -> Section | None:
        """Return the section, None when there were problems."""
        raw = self._layer.values.get(name, {})
        model = SECTIONS[name]
        if isinstance(raw, dict):
            raw = self._choose_secrets(name, _without_blanks(raw, model))
            if name == "graph":
                self._check_credential(raw)
            elif name == "notify":
                self._check_mail(raw)
        section: Section | None = None
        try:
            section = model.model_validate(raw, context=self._surroundings)
        except ValidationError as error:
            details = error.errors(include_url=False)
            self.problems += [
                explain(detail, name, model=model, origins=self._layer.origins) for detail in details[:_MOST_TOLD]
            ]
            self._leave_out(name, len(details))
        if name == "web" and isinstance(raw, dict):
            self._check_web(raw, section)
        return section

    def _check_web(self, raw: Table, section: Section | None) -> None:
        graph = self._layer.values.get("graph")
        web = section if isinstance(section, WebSettings) else None
        client = graph.get("client_id") if isinstance(graph, dict) else None
        self.problems += check_web(raw, web, graph_client=client)

    def read_list(self, name: str) -> object:
        """Return the rules of a list in their order, none when there were problems."""
        raw = self._layer.values.get(name, [])
        entry, whole = LISTS[name]
        if name == "privileges":
            self.problems += check_privileges(raw, origin=self._layer.origins.get(name, ""))
        try:
            return TypeAdapter(whole).validate_python(raw, context=self._surroundings)
        except ValidationError as error:
            details = error.errors(include_url=False)
            self.problems += [
                explain(detail, name, model=entry, origins=self._layer.origins) for detail in details[:_MOST_TOLD]
            ]
            self._leave_out(name, len(details))
            return ()

    def refuse_unknown_sections(self) -> None:
        """Add a problem for each table that syncd does not know."""
        unknown = sorted(self._layer.values.keys() - {*SECTIONS, *LISTS})
        self.problems += [unknown_section(name) for name in unknown[:_MOST_TOLD]]
        self._leave_out("the configuration", len(unknown))

    def _leave_out(self, key: str, found: int) -> None:
        """Say how many problems of one kind are not told one by one."""
        if found > _MOST_TOLD:
            self.problems.append(
                Problem(key, f"has {found - _MOST_TOLD} more problems", remedy="correct the others first")
            )

    def _choose_secrets(self, section: str, raw: Table) -> Table:
        """Return the table with ``x`` or ``x_file`` brought together as ``x``; giving both is a problem."""
        chosen = dict(raw)
        for key in SECRET_KEYS.get(section, ()):
            name = f"{key}_file"
            path = chosen.pop(name, "")
            if path == "":
                continue
            if chosen.get(key, "") != "":
                origin = self._layer.origins.get(f"{section}.{key}", "")
                self.problems.append(
                    Problem(
                        f"{section}.{key}",
                        f"is given together with {name}",
                        remedy="keep one of the two",
                        origin=origin,
                    )
                )
            chosen[key] = SecretFile(path)
        return chosen

    def _check_mail(self, raw: Table) -> None:
        """Refuse a mail server without sender or recipients, and these without a mail server."""
        server = _is_given(raw.get("smtp_url"))
        for key, example in (("mail_from", '"syncd@example.com"'), ("mail_to", '["it@example.com"]')):
            if server and not _is_given(raw.get(key)):
                self.problems.append(
                    Problem(f"notify.{key}", "is missing, and smtp_url is set", remedy=f"write it like {example}")
                )
            elif not server and _is_given(raw.get(key)):
                self.problems.append(
                    Problem(
                        f"notify.{key}",
                        "is set, and no smtp_url",
                        remedy="name the mail server as smtp_url (or smtp_url_file), or remove it",
                    )
                )

    def _check_credential(self, raw: Table) -> None:
        given = [name for name in CREDENTIALS if name in raw]
        choice = "client_secret (or client_secret_file), certificate_file, federated_token_file or managed_identity"
        if not given:
            self.problems.append(
                Problem(
                    "graph.client_secret",
                    "is missing, and so is every other credential",
                    remedy=f"set {choice}",
                    absent=True,
                )
            )
        elif len(given) > 1:
            self.problems.append(
                Problem("graph", f"has several credentials: {', '.join(given)}", remedy="keep exactly one")
            )
        if "certificate_password" in raw and "certificate_file" not in raw:
            self.problems.append(
                Problem(
                    "graph.certificate_password",
                    "has no certificate to open",
                    remedy="set certificate_file, or remove it",
                )
            )
        if "client_secret_expires" in raw and given and "client_secret" not in raw:
            self.problems.append(
                Problem(
                    "graph.client_secret_expires",
                    "has no client secret that could end",
                    remedy="set client_secret, or remove it",
                )
            )
        if "client_id" not in raw and "managed_identity" not in raw:
            self.problems.append(missing_key("graph.client_id"))


def _is_given(value: object) -> bool:
    return value not in ("", None) and value != [] and value != ()


def _without_blanks(raw: Table, model: type[Section]) -> Table:
    """Return the table without empty texts where an empty text can only mean that nothing was set."""
    optional = {name for name, spec in model.model_fields.items() if spec.is_required() or spec.default is None}
    return {key: value for key, value in raw.items() if not (value == "" and key in optional)}


def _sources(file: Layer, environment: Layer) -> dict[str, str]:
    """Return for each section where its values came from."""
    found: dict[str, str] = {}
    for section in (*SECTIONS, *LISTS):
        places = [str(file.file)] if section in file.values else []
        places += ["environment"] if section in environment.values else []
        found[section] = " + ".join(places) or "defaults"
    return found
