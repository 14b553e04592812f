"""What the assembly of the two sides adds to the settings."""

from __future__ import annotations

from dataclasses import replace

from syncd.bootstrap.rules import list_attributes
from syncd.bootstrap.sides import find_portal_address, make_bps_options, make_graph_options
from syncd.http import Shared
from syncd.plan.rules import FieldRule
from tests.fakes.rules import make_default_settings, make_rules


def test_a_pause_that_a_side_asked_for_is_shared_by_all_openings() -> None:
    """What is handed over is what the options hold; otherwise each opening has its own."""
    settings, rules, shared = make_default_settings(), make_rules(), Shared()
    assert make_graph_options(settings, rules, shared).shared is shared
    assert make_bps_options(settings, shared).shared is shared
    alone = [make_graph_options(settings, rules).shared, make_bps_options(settings).shared]
    assert all(isinstance(each, Shared) and each is not shared for each in alone)
    assert alone[0] is not alone[1]


def test_a_portal_is_told_from_another_by_the_address_of_its_settings() -> None:
    """The one that the adapter has."""
    settings = make_default_settings()
    assert find_portal_address(settings) == make_bps_options(settings).address


def test_parts_of_an_attribute_are_asked_for_in_the_spelling_of_graph() -> None:
    """Whatever case the mapping uses."""
    rules = make_rules()
    named = FieldRule(("onpremisesextensionattributes.extensionattribute3",))
    mapping = replace(rules.mapping, user_fields={**rules.mapping.user_fields, "job_title": named})
    asked = list_attributes(replace(rules, mapping=mapping), "user")
    assert "onPremisesExtensionAttributes.extensionAttribute3" in asked
    assert "displayName" in asked
