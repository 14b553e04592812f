"""The rules by which a source entity becomes a target record, as they are written; evaluating them is not done here.

Attributes that Graph's delta does not track are refused, in every form: a change of theirs would never arrive. Names
are kept as Graph spells them, whatever the letter case in which they are written.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated

from pydantic import Field, ValidationInfo

from syncd.config.base import Parsed, Section, Surroundings
from syncd.config.problem import Refused
from syncd.model.attributes import find_attribute_problem, find_value_problem, join_problems, spell_path
from syncd.model.kinds import RecordKind, RulePurpose

_ATTRIBUTE = re.compile(r"[A-Za-z][A-Za-z0-9_]*(?:\.[A-Za-z][A-Za-z0-9_]*)?", re.ASCII)
_NO_ATTRIBUTES = frozenset({"user", "group", "true", "false"})


@dataclass(frozen=True, slots=True)
class AttributeRule:
    """The first of these source attributes that has a value; no names at all: the field is never given a value."""

    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ExpressionRule:
    """A CEL expression over ``user`` or ``group``."""

    text: str


MappingRule = AttributeRule | ExpressionRule


def show_rule(rule: MappingRule) -> object:
    """Return the rule as it is written in a settings file."""
    return list(rule.names) if isinstance(rule, AttributeRule) else rule.text


def is_attribute(text: str) -> bool:
    """Say whether this is a plain attribute path; ``user.mail`` and ``group.mail`` are expressions."""
    return _ATTRIBUTE.fullmatch(text) is not None and text.partition(".")[0].casefold() not in _NO_ATTRIBUTES


def spell_attributes(names: Iterable[str], entity: RecordKind) -> tuple[str, ...]:
    """Return attributes as Microsoft Graph spells them, each once.

    Refuses, all together, those that a delta query cannot follow or that have no value of their own.
    """
    paths = [tuple(name.split(".")) for name in names]
    problem = join_problems(find_attribute_problem(entity, path) or find_value_problem(entity, path) for path in paths)
    if problem is not None:
        raise Refused(*problem)
    return tuple(dict.fromkeys(".".join(spell_path(entity, path)) for path in paths))


def parse_expression(value: object, info: ValidationInfo, *, entity: RecordKind, purpose: RulePurpose) -> str:
    """Return a CEL expression that compiles and looks at tracked attributes only; empty stays empty."""
    if not isinstance(value, str):
        raise Refused("must be text", "write the CEL expression in quotes")
    text = value.strip()
    if not text:
        return ""
    complaint = info.context.check_expression(text, entity, purpose) if isinstance(info.context, Surroundings) else None
    if complaint is not None:
        raise Refused(*complaint)
    return text


def _parse_rule(value: object, info: ValidationInfo, *, entity: RecordKind, required: bool) -> MappingRule:
    if isinstance(value, str):
        text = value.strip()
        if text and not is_attribute(text):
            return ExpressionRule(parse_expression(text, info, entity=entity, purpose="value"))
        names: tuple[str, ...] = (text,) if text else ()
    elif isinstance(value, list | tuple) and all(isinstance(name, str) for name in value):
        names = tuple(dict.fromkeys(name.strip() for name in value))
        if not all(is_attribute(name) for name in names):
            raise Refused("has an entry that is no attribute name", "list attribute names, or write one CEL expression")
    else:
        raise Refused("is no mapping rule", "write an attribute name, a list of attribute names or a CEL expression")
    if required and not names:
        raise Refused("is empty", "nobody can be written without it: name an attribute or an expression")
    return AttributeRule(spell_attributes(names, entity))


def _user_rule(value: object, info: ValidationInfo) -> MappingRule:
    return _parse_rule(value, info, entity="user", required=info.field_name in {"bps_id", "name"})


def _group_rule(value: object, info: ValidationInfo) -> MappingRule:
    return _parse_rule(value, info, entity="group", required=info.field_name in {"bps_id", "name"})


UserRule = Annotated[MappingRule, Parsed(_user_rule, show_rule, listed=True)]
GroupRule = Annotated[MappingRule, Parsed(_group_rule, show_rule, listed=True)]


class UserMapping(Section):
    """``mapping.user``: how a person becomes a BPS user."""

    bps_id: UserRule = AttributeRule(("userPrincipalName",))
    name: UserRule = AttributeRule(("displayName",))
    email: UserRule = AttributeRule(("mail", "userPrincipalName"))
    phone: UserRule = AttributeRule(("mobilePhone", "businessPhones"))
    job_title: UserRule = AttributeRule(("jobTitle",))
    manager: bool = True


class GroupMapping(Section):
    """``mapping.group``: how a group becomes a BPS group; without an e-mail value the portal gets the BPS id."""

    bps_id: GroupRule = ExpressionRule('group.id + "@groups.example.com"')
    name: GroupRule = AttributeRule(("displayName",))
    email: GroupRule = AttributeRule(("mail",))
    owners: bool = False


class MappingSettings(Section):
    """``[mapping]``."""

    user: UserMapping = Field(default_factory=UserMapping)
    group: GroupMapping = Field(default_factory=GroupMapping)
