"""Pseudonyms for a copy of a company: nobody is recognised, and every rule decides as it does about the real one.

================================  =================================================================================
an attribute                      in the copy
================================  =================================================================================
that an expression looks at       stays, since nobody can tell which part of it the expression needs
that says what an object is       stays (enabled, member or guest, subtype, kind of group)
any other text                    another text, the same for the same one (without case), with what a BPS id must not
                                  hold in the same number; of an address, login and domain each for itself
numbers, flags, nothing           stay
================================  =================================================================================
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Any

from syncd.model.source import KIND

STRUCTURE = frozenset(
    {
        KIND, "accountEnabled", "externalUserState", "groupTypes", "identityParentId", "isAssignableToRole",
        "mailEnabled", "onPremisesSyncEnabled", "resourceProvisioningOptions", "securityEnabled", "userType",
        "visibility",
    }
)  # fmt: skip
"""Attributes that say what an object is and not who."""

_ODD = re.compile(r"""[\\%&*+/=?{}|<>();:,\[\]"#\s]""")
"""Characters that no BPS id may hold."""
_GUEST, _TOMBSTONE = "#EXT#", re.compile(r"[0-9a-f]{32}", re.IGNORECASE)
_LONG = 100
"""A text longer than this keeps its length: a portal may refuse it for that."""


class Pseudonyms:
    """One consistent set of pseudonyms. It remembers what it was given, and must not outlive the copy."""

    def __init__(self, kept: Collection[str]) -> None:
        """``kept``: attributes whose values stay, beside those that say what an object is."""
        self._kept = STRUCTURE | frozenset(kept)
        self._known: dict[str, str] = {}

    def beside(self, kept: Collection[str]) -> Pseudonyms:
        """Return the same pseudonyms for objects of which other attributes stay."""
        other = Pseudonyms(kept)
        other._known = self._known
        return other

    def disguise(self, attributes: Mapping[str, Any]) -> dict[str, Any]:
        """Return the attributes of an object of the copy."""
        return {name: value if name in self._kept else self._replace(value) for name, value in attributes.items()}

    def replace(self, text: str) -> str:
        """Return what stands for a text: for an address one of the same shape."""
        login, at, domains = text.partition("@")
        if not at:
            return self._name("text", "Text ", text)
        tail = "@".join(self._domain(domain) for domain in domains.split("@"))
        prefix = "0" * 32 if _TOMBSTONE.match(login) else ""
        return f"{prefix}{self._name('login', 'p', login[len(prefix) :])}@{tail}"

    def _replace(self, value: Any) -> Any:
        if isinstance(value, str):
            return self.replace(value) if value.strip() else value
        if isinstance(value, list):
            return [self._replace(each) for each in value]
        if isinstance(value, dict):
            return {name: self._replace(each) for name, each in value.items()}
        return value

    def _domain(self, domain: str) -> str:
        known = self._name("domain", "d", domain)
        return known if "." not in domain else f"{known}.example"

    def _name(self, family: str, prefix: str, text: str) -> str:
        key = f"{family} {text.casefold()}"
        if key not in self._known:
            odd = "" if family == "text" else "".join(_ODD.findall(text.replace(_GUEST, "")))
            shown = f"{prefix}{len(self._known) + 1}{odd}{_GUEST if _GUEST in text and family == 'login' else ''}"
            self._known[key] = shown.ljust(len(text), "x") if len(text) > _LONG else shown
        return self._known[key]
