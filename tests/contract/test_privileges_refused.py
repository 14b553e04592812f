"""A revoke that is refused as a conflict: nobody says what that means, and nothing that may be there is forgotten."""

from __future__ import annotations

import pytest

from syncd.sandbox.wire.faults import Fault
from tests.contract.office import Office
from tests.contract.privilege_rules import find_levels, rule, say, tell


def refuse(office: Office) -> None:
    """Let the portal answer the next revoke with a conflict, and take nothing."""
    body = b'{"type": "ValidationError", "description": "no", "errorGuid": "1"}'
    office.wire.faults.add(Fault("status", side="portal", path="privileges/remove", status=409, body=body))


@pytest.mark.parametrize("office", [{"privileges_list_groups": False}], indirect=True)
async def test_a_revoke_that_is_refused_is_not_forgotten_where_no_reading_names_groups(office: Office) -> None:
    """A full run learns nothing there: what may be there is told until a person deletes the group."""
    say(office, rule())
    for _ in range(2):
        await office.sync("full")
    say(office)
    refuse(office)
    for _ in range(3):
        office.clock.elapsed += 86_400
        await office.sync("full")
    assert find_levels(office) == {"ReadOnly"}
    assert tell(office) == {"ReadOnly": "kept"}


@pytest.mark.parametrize("office", [{"privileges_shown_after": 600.0}], indirect=True)
async def test_a_revoke_that_is_refused_before_readings_show_the_grant_is_not_forgotten(office: Office) -> None:
    """Neither the conflict nor a reading that is behind proves that it is gone."""
    say(office, rule("Group h"))
    await office.sync("full")
    office.clock.elapsed += 86_400
    await office.sync("full")
    say(office, rule("Group h"), rule())
    await office.sync("full")
    say(office, rule("Group h"))
    refuse(office)
    for _ in range(2):
        await office.sync("full")
        assert tell(office) == {"ReadOnly": "kept"}
    office.clock.elapsed += 86_400
    await office.sync("full")
    assert find_levels(office) == {"ReadOnly"}
    assert tell(office) == {"ReadOnly": "kept"}
    office.wire.store.privileges.clear()
    for _ in range(2):
        office.clock.elapsed += 86_400
        await office.sync("full")
    assert "ReadOnly" not in tell(office)
