"""Runs the migrations on the engine that syncd hands over, or on the URL given with ``-x url=…``."""

from __future__ import annotations

from alembic import context
from sqlalchemy import create_engine

from syncd.store.schema.tables import metadata

engine = context.config.attributes.get("engine")
if engine is None:
    engine = create_engine(context.get_x_argument(as_dictionary=True)["url"])

with engine.begin() as connection:
    context.configure(
        connection=connection,
        target_metadata=metadata,
        render_as_batch=connection.dialect.name == "sqlite",
        transactional_ddl=True,
    )
    context.run_migrations()
