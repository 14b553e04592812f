"""The administrator's commands in this process, over a store that a few runs have filled."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

from click.testing import CliRunner, Result

from syncd.cli.main import program
from tests.documents import check_document
from tests.fakes.world import Companies, Company, World


def syncd(*arguments: str) -> Result:
    """Run a command in this process."""
    return CliRunner().invoke(program, arguments, prog_name="syncd")


def document(*arguments: str) -> Any:
    """Run a command that must succeed, and return its document."""
    result = syncd(*arguments, "--json")
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    check_document(arguments, found)
    return found


async def found_company(world: World) -> None:
    """Sync ten people in one group, whose BPS ids are long."""
    world.source.put_group(
        "staff", displayName="Staff", mailNickname="6f1c9a2e-1b2c-4d5e-8f90-123456789abc@groups.example"
    )
    for number in range(10):
        login = f"person.number.{number:02}@subsidiary.company.example"
        world.source.put_user(f"u{number}", userPrincipalName=login, displayName=f"P {number}", userType="Member")
        world.source.link("staff", f"u{number}")
    await world.sync()


async def fill(path: Path, companies: Companies, *, founded_by: Company = found_company) -> World:
    """Return a company over the store at that path, where commands look for it; its clock shows their time."""
    made = await companies.open(founded_by, path)
    made.clock.ahead = timedelta()
    return made
