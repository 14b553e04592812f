"""The types of the settings: how a value is read from its text, refused, and shown again."""

from __future__ import annotations

import re
from datetime import date, timedelta
from functools import partial
from pathlib import Path
from typing import Annotated, Literal

from pydantic import (
    AfterValidator,
    ValidationInfo,
)
from pydantic_core import core_schema

from syncd.config import addresses, files, smtp, values
from syncd.config.base import Parsed, simple
from syncd.config.cadence import Cadence, parse_cadence
from syncd.config.mapping import parse_expression
from syncd.config.problem import Refused, show_value, suggest
from syncd.config.secret import Secret
from syncd.config.secret_values import parse_secret
from syncd.model.event import EVENTS
from syncd.model.licence import LICENCE_TYPES

_LONGEST_TYPE = 100


def parse_portal_url(value: object, info: ValidationInfo) -> str:
    """Return the address of the portal; http is refused where `allow_http` says so."""
    return addresses.parse_portal_url(value, allow_http=info.data.get("allow_http", True))


def parse_name(value: object) -> str:
    """Return the name or id of a group."""
    name = values.expect_text(value)
    if not name:
        raise Refused("is empty", "name a group by its display name or id")
    return name


def parse_licence_type(value: object) -> str:
    """Return the name of a type: one that we know, in its spelling, or any other that the portal may offer."""
    name = values.expect_text(value)
    if not name or not name.isprintable() or len(name) > _LONGEST_TYPE:
        raise Refused("names no type of licence", "'syncd check' lists the types that the portal offers")
    meant = next((known for known in LICENCE_TYPES if known.casefold() == name.casefold()), name)
    if meant != name:
        raise Refused("is not how the portal spells it", f"did you mean {meant}?")
    return name


def parse_guid(value: object) -> str:
    """Return a guid in lower case."""
    guid = values.expect_text(value)
    if not re.fullmatch(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}", guid):
        raise Refused("is no guid", "copy it from the portal: eight, four, four, four and twelve hex digits")
    return guid.lower()


def _parse_reference(value: object) -> str:
    if isinstance(value, int) and not isinstance(value, bool) and value > 0:
        return str(value)
    reference = values.expect_text(value)
    if not reference:
        raise Refused("is empty", "name it by its id, its guid or its name in the portal")
    return reference


def of_type(wanted: str) -> AfterValidator:
    """Return a validator that refuses a setting of another type of licence."""

    def check(value: object, info: ValidationInfo) -> object:
        if value != () and info.data.get("type", wanted) != wanted:
            raise Refused(f"is a setting of the type {wanted} only", "remove it")
        return value

    return AfterValidator(check)


def lower(value: object) -> object:
    """Return a text in lower case and without blanks around it, anything else as it is."""
    return value.strip().lower() if isinstance(value, str) else value


def _parse_events(value: object) -> tuple[str, ...]:
    names = values.parse_names(value)
    for name in names:
        if name not in EVENTS:
            meant = suggest(name, EVENTS)
            choice = ", ".join(EVENTS)
            raise Refused(
                f"names no event: {show_value(name)}",
                f"did you mean {meant}? There are {choice}" if meant else f"use {choice}",
            )
    return names


def to_tuple(value: object) -> object:
    """Return a list as a tuple, anything else as it is."""
    return tuple(value) if isinstance(value, list) else value


Plain = Annotated[Secret, parse_secret()]
Proxy = Annotated[Secret, parse_secret(addresses.parse_proxy_url, addresses.show_without_password)]
Identifier = Annotated[str, simple(values.parse_identifier)]
HostRoot = Annotated[str, simple(addresses.parse_host_root)]
Mailbox = Annotated[str, simple(smtp.parse_mailbox)]
Mailboxes = Annotated[tuple[str, ...], simple(smtp.parse_mailboxes, list)]
Events = Annotated[tuple[str, ...], simple(_parse_events, list)]
CaFile = Annotated[Path, Parsed(files.parse_ca_file)]
UserCondition = Annotated[str, Parsed(partial(parse_expression, entity="user", purpose="condition"))]
GroupCondition = Annotated[str, Parsed(partial(parse_expression, entity="group", purpose="condition"))]
Names = Annotated[tuple[str, ...], simple(values.parse_names, list)]
Duration = Annotated[timedelta, simple(values.parse_duration, values.format_duration)]
Kept = Annotated[timedelta, simple(values.parse_retention, values.format_duration)]
CadenceValue = Annotated[Cadence, simple(parse_cadence)]
Limit = Annotated[int | None, simple(values.parse_limit, values.format_limit)]
Reference = Annotated[str, simple(_parse_reference)]
Concurrency = Annotated[
    int | Literal["auto"],
    Parsed(
        lambda value, _info: values.parse_concurrency(value),
        lambda value: value,
        written=core_schema.union_schema([core_schema.int_schema(ge=1, le=64), core_schema.literal_schema(["auto"])]),
    ),
]
ListenAt = Annotated[values.Listen | None, simple(values.parse_listen, values.format_optional)]
Day = Annotated[date, Parsed(lambda value, _info: values.parse_date(value), str, written=core_schema.date_schema())]
Percent = Annotated[int | None, simple(values.parse_percent, values.format_limit)]
