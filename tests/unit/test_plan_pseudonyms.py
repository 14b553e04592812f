"""Pseudonyms: nobody is recognised, and whatever was the same, unusable or absent before is so afterwards."""

from __future__ import annotations

import json

from syncd.plan.pseudonyms import Pseudonyms

ANNA = {
    "userPrincipalName": "Anna+x@Contoso.example",
    "mail": "anna+X@contoso.example",
    "displayName": "Anna Secretname",
    "jobTitle": "Clerk",
    "mobilePhone": None,
    "businessPhones": ["+48 600 700 800", ""],
    "accountEnabled": True,
    "userType": "Member",
    "onPremisesExtensionAttributes": {"extensionAttribute1": "Contoso", "extensionAttribute2": None},
}


def test_names_are_gone_and_the_shape_stays() -> None:
    """Equal without case stays equal, forbidden characters stay, absent stays absent; structure is not touched."""
    disguised = Pseudonyms(()).disguise(ANNA)
    told = json.dumps(disguised).casefold()
    assert not any(word in told for word in ("anna", "secretname", "contoso", "clerk", "600"))
    assert disguised["userPrincipalName"] == disguised["mail"]
    login, _, domain = disguised["mail"].partition("@")
    assert (login.count("+"), domain.count(".")) == (1, 1)
    assert (disguised["mobilePhone"], disguised["accountEnabled"], disguised["userType"]) == (None, True, "Member")
    assert disguised["businessPhones"][1] == ""
    assert disguised["onPremisesExtensionAttributes"]["extensionAttribute2"] is None
    assert disguised["displayName"] != disguised["jobTitle"]


def test_what_an_expression_looks_at_stays_and_pseudonyms_are_shared() -> None:
    """A value that decides is kept as it is; users and groups have one set of pseudonyms."""
    people = Pseudonyms(("jobTitle",))
    groups = people.beside(("mail",))
    assert people.disguise(ANNA)["jobTitle"] == "Clerk"
    assert groups.disguise(ANNA)["mail"] == ANNA["mail"]
    assert groups.disguise({"displayName": "ANNA SECRETNAME"})["displayName"] == people.disguise(ANNA)["displayName"]
    assert people.replace("anna+x@contoso.example") == people.disguise(ANNA)["mail"]


def test_guests_deleted_logins_and_long_values_are_recognised_as_such() -> None:
    """The marks by which rules tell them apart are there, and no more of them than before."""
    names = Pseudonyms(())
    guest = names.replace("anna_partner.example#EXT#@contoso.onmicrosoft.com")
    assert guest.count("#EXT#") == guest.count("@") == 1
    assert guest.count("#") == 2
    assert names.replace("0123456789abcdef0123456789abcdefanna@x.com").startswith("0" * 32 + "p")
    assert len(names.replace("x" * 300)) == 300
    assert names.replace("two@at@signs").count("@") == 2
