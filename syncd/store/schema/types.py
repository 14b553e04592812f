"""What all tables are made with: the types of keys, instants and errors, and the one collection that they belong to."""

from __future__ import annotations

from datetime import UTC, datetime

from sqlalchemy import BigInteger, DateTime, Dialect, Integer, MetaData, Text
from sqlalchemy.types import TypeDecorator

from syncd.logs.redaction import redact_text

Key = BigInteger().with_variant(Integer(), "sqlite")


class UtcTime(TypeDecorator[datetime]):
    """An aware UTC instant, whatever the database thinks of time zones."""

    impl = DateTime
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002 - signature
        """Store as naive UTC; a naive value is a programming error."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a naive datetime must not reach the store")
        return value.astimezone(UTC).replace(tzinfo=None)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        """Give back as aware UTC."""
        return None if value is None else value.replace(tzinfo=UTC)


class ErrorText(TypeDecorator[str]):
    """What went wrong, in words, without secrets: also in rows of a release that let one get in."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:  # noqa: ARG002 - signature
        """Store without what looks like a secret."""
        return redact_text(value, personal=True) if value else value

    def process_result_value(self, value: str | None, dialect: Dialect) -> str | None:  # noqa: ARG002
        """Give back without what looks like a secret."""
        return redact_text(value, personal=True) if value else value


def complete_for_postgresql() -> None:
    """Give the partial indexes of the tables their condition on PostgreSQL, too: the same as on SQLite.

    A table that says it by itself makes every process load the dialect, also where the store is a file.
    """
    for table in metadata.tables.values():
        for index in table.indexes:
            condition = index.dialect_options["sqlite"]["where"]
            if condition is not None:
                index.dialect_kwargs["postgresql_where"] = condition


metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)
