"""What every table of the settings shares: a frozen model, the surroundings it is read in, and parsed values."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_args, get_origin

from pydantic import BaseModel, ConfigDict, GetCoreSchemaHandler, ValidationInfo
from pydantic_core import CoreSchema, core_schema

from syncd.model.kinds import RecordKind, RulePurpose

CheckExpression = Callable[[str, RecordKind, RulePurpose], tuple[str, str] | None]
"""Says what is wrong with a CEL expression in a rule for users or for groups, and the way out; None: nothing."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the validators need to know besides the value."""

    cwd: Path
    check_expression: CheckExpression


class Section(BaseModel):
    """One table of the settings: frozen, exact in its types, and without unknown keys."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, hide_input_in_errors=True, arbitrary_types_allowed=True
    )


@dataclass(frozen=True, slots=True)
class Parsed:
    """Marks a value that ``parse`` makes of what was written, and that ``show`` turns back into what may be printed.

    ``listed``: it may be written as a list of texts as well. ``written``: how it is written, where its type does not
    say.
    """

    parse: Callable[[object, ValidationInfo], object]
    show: Callable[[Any], object] = str
    listed: bool = False
    written: CoreSchema | None = field(default=None, compare=False)

    def __get_pydantic_core_schema__(self, source: type[Any], handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.with_info_plain_validator_function(
            self.parse,
            serialization=core_schema.plain_serializer_function_ser_schema(self.show, when_used="json"),
            json_schema_input_schema=self.written or _describe_written(source, listed=self.listed),
        )


def _describe_written(source: Any, *, listed: bool) -> CoreSchema:
    """Return how a value of this type is written in a file: as text, as a list of texts, or a limit as a number."""
    text, parts = core_schema.str_schema(), get_args(source)
    if get_origin(source) is tuple:
        return core_schema.list_schema(core_schema.int_schema(ge=1, le=100) if int in parts else text)
    if int in parts:
        return core_schema.union_schema([core_schema.int_schema(ge=0), core_schema.literal_schema([False])])
    return core_schema.union_schema([text, core_schema.list_schema(text)]) if listed else text


def simple(parse: Callable[[object], object], show: Callable[[Any], object] = str) -> Parsed:
    """Return ``Parsed`` for a parser that needs the value alone."""

    def parse_value(value: object, info: ValidationInfo) -> object:
        del info
        return parse(value)

    return Parsed(parse_value, show)
