"""The way back with PostgreSQL, typed as the pages on backups and upgrades say it."""

from __future__ import annotations

import os
import re
import subprocess
from contextlib import closing
from pathlib import Path

import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import text
from sqlalchemy.engine import make_url

from syncd.store.db.backup import back_up
from syncd.store.db.database import Database, open_database
from syncd.store.db.revision import find_migrations, load_head, load_revision, migrate
from tests.e2e.console import ROOT, read_blocks
from tests.postgres import fresh_database

FIRST = "0008"
"""The revision of the store of 0.1.0."""


def list_commands(page: str) -> list[str]:
    """Return the commands of the block that makes a database anew, without those for containers."""
    (block,) = [
        block
        for block in read_blocks(ROOT / "docs/how-to" / page)
        if "dropdb" in block.text and "docker" not in block.text
    ]
    return [typed.command.partition(" # ")[0] for typed in block.typed]


def make_first(database: Database) -> None:
    """Make a store of the first version with one run in it."""
    config = Config()
    config.set_main_option("script_location", str(find_migrations()))
    config.attributes["engine"] = database.engine
    command.upgrade(config, FIRST)
    with database.transaction() as connection:
        connection.execute(
            text(
                "INSERT INTO runs (kind, trigger, status, started_at, finished_at, counts, phases, error) "
                "VALUES ('full', 'cli', 'succeeded', '2026-01-01', '2026-01-02', '{}', '{}', '')"
            )
        )


@pytest.mark.postgresql
@pytest.mark.parametrize("page", ["upgrade.md", "back-up.md"])
def test_an_older_store_is_put_back_and_can_be_upgraded_again(page: str, postgres_url: str, tmp_path: Path) -> None:
    """Nothing of the newer schema is left in it, and its runs are there."""
    with fresh_database(postgres_url) as url:
        with closing(open_database(url)) as database:
            make_first(database)
            back_up(database, tmp_path / "copy.dump")
            assert migrate(database) == (FIRST, load_head())
        at = make_url(url)
        environment = os.environ | {
            "PGHOST": str(at.host),
            "PGPORT": str(at.port),
            "PGUSER": str(at.username),
            "PGPASSWORD": str(at.password),
        }
        for typed in list_commands(page):
            meant = typed.replace("--owner=syncd", f"--owner={at.username}")
            meant = re.sub(r"(?<=[ =])syncd\b(?![-.])", str(at.database), meant)
            meant = re.sub(r"\S+\.dump\b", str(tmp_path / "copy.dump"), meant)
            subprocess.run(["bash", "-c", meant], env=environment, check=True, timeout=60)
        with closing(open_database(url)) as database:
            assert load_revision(database) == FIRST
            assert migrate(database) == (FIRST, load_head())
            with database.transaction() as connection:
                assert list(connection.scalars(text("SELECT status FROM runs"))) == ["succeeded"]
