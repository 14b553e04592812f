"""Who is taken out of a group, and of whom hands are kept off."""

from __future__ import annotations

import pytest

from syncd.plan.membership import GroupView, MemberView, decide_unlink
from tests.fakes.rules import make_rules

GROUP = GroupView(key=1, bps_id="sales@grp", source_key=10, state="wanted", exists=True, owned=True)


@pytest.mark.parametrize("named", [True, False])
def test_whom_the_tenant_names_was_not_put_in_by_hand(named: bool) -> None:
    """A person in a collision, or skipped, whose account is not ours stays in our group; a stranger is drift."""
    member = MemberView(2, "ann@x.com", True, False, None, "unknown", False, False, named)
    change = decide_unlink(GROUP, member, make_rules(), adoption_held=())
    assert (change is None) == named
