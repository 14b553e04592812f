"""Licences as WEBCON BPS 2026 has them: other types, and assigned by name in perpetual licensing too."""

from __future__ import annotations

from dataclasses import replace

import pytest

from syncd.model.licence import LICENCE_TYPES, number_type
from syncd.plan.rules import LicenceRule
from syncd.store.reports.licences import load_licence_use
from tests.contract.office import Office
from tests.contract.openapi import Judge

TYPES = "Lite, Core, Premium"
RULES = (LicenceRule("Group g", "Premium"), LicenceRule("Group h", "Lite"))


@pytest.fixture(autouse=True)
def rules(office: Office) -> None:
    """Two rules for types that no document of 2024 knows."""
    office.rules = replace(office.rules, licences=RULES)


@pytest.mark.both_engines
@pytest.mark.parametrize("office", [{"licence_types": TYPES}], indirect=True)
async def test_types_of_which_no_document_knows_are_given_and_taken(office: Office) -> None:
    """By name, within their seats; a change of the rule moves people, and a leaver gives the seat back."""
    office.wire.service.licences.totals["Premium"] = 2
    run = await office.sync("full")
    assert run.status == "succeeded", run.error
    assert sorted(kinds for each in office.held().values() for kinds in each).count("Premium") == 2
    assert "Premium: 3 seats needed, 2 are free, 1 go without" in run.error
    office.wire.service.licences.totals["Premium"] = 9
    assert (await office.sync("full")).status == "succeeded"
    assert office.held() == {f"{name}@x.com": {"Premium"} for name in ("ann", "ben", "cleo")} | {"dora@x.com": {"Lite"}}
    office.rules = replace(office.rules, licences=(LicenceRule("Group g", "Core"), RULES[1]))
    assert (await office.sync("full")).status == "succeeded"
    assert office.held()["ann@x.com"] == {"Core"}
    office.source.unlink("g", "cleo")
    assert (await office.sync()).status == "succeeded"
    assert "cleo@x.com" not in office.held()
    assert not (await office.sync("full")).counts.get("grant")


@pytest.mark.parametrize("office", [{"licence_types": TYPES}], indirect=True)
async def test_a_licence_of_an_unknown_type_by_hand_is_manual(office: Office) -> None:
    """It stays as it is, is counted among those by hand, and makes no list incomplete."""
    await office.sync("full")
    office.wire.service.licences.holders["dora@x.com"].licences["Core"] = {}
    await office.sync("full")
    assert office.held()["dora@x.com"] == {"Core", "Lite"}
    uses = {use.type: use for use in load_licence_use(office.database, [])}
    assert (uses["Core"].by_hand, uses["Lite"].by_rule) == (1, 1)


@pytest.mark.parametrize("office", [{}], indirect=True)
async def test_a_type_that_is_not_offered_is_told_with_those_that_are(office: Office) -> None:
    """By the run and for each person who waits; everybody else gets what there is, and nobody fails."""
    office.wire.observer = office.judge = Judge(licence_types=("Premium",))  # what a rule names is asked for once
    office.rules = replace(office.rules, licences=(LicenceRule("Group g", "Premium"), LicenceRule("Group h", "User")))
    run = await office.sync("full")
    assert run.status == "succeeded"
    assert "the portal offers no licences of type Premium (it offers DesignerDeskUser" in run.error
    assert "correct licences.type" in run.error
    assert office.held() == {"dora@x.com": {"User"}}


@pytest.mark.parametrize("office", [{"perpetual_licences": True, "licence_types": TYPES}], indirect=True)
async def test_a_perpetual_portal_that_is_brought_to_2026_assigns_by_name(office: Office) -> None:
    """Until then rules wait with a word; the first full run afterwards carries them out."""
    run = await office.sync("full")
    assert run.status == "succeeded"
    assert "2026.1.4" in run.error
    office.wire.knobs.perpetual_licences = False
    run = await office.sync("full")
    assert run.status == "succeeded"
    assert office.held()["ann@x.com"] == {"Premium"}


def test_each_type_has_a_number_of_its_own_for_ever() -> None:
    """Those of the document theirs, which rows of older releases have; the others one that no other shares."""
    assert [number_type(name) for name in LICENCE_TYPES] == [-1, -2, -3, -4, -5]
    assert number_type("Premium") == -953562871043960
    others = {number_type(name) for name in ("Lite", "Core", "Premium", "premium", "Ünlimited")}
    assert len(others) == 5
    assert all(-(2**62) < number < -5 for number in others)
