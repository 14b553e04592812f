"""What a client may select, and how an object is written: property names per kind, ``$select``, and encoded objects.

Each object is encoded once per selection and remembered until it changes, so that the sandbox is never the slow side
of a benchmark. Property names are those of the v1.0 metadata; which ones delta refuses is from Graph's resource
pages.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from uuid import uuid4

import msgspec

from syncd.clock import Clock
from syncd.sandbox.tenant.objects import Node
from syncd.sandbox.wire.http import Answer, Refusal

JSON_TYPE = "application/json;odata.metadata=minimal;odata.streaming=true;IEEE754Compatible=false;charset=utf-8"


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


USER_DEFAULTS = _words(
    "businessPhones displayName givenName jobTitle mail mobilePhone officeLocation preferredLanguage surname "
    "userPrincipalName"
)
GROUP_DEFAULTS = _words(
    "createdDateTime deletedDateTime description displayName groupTypes mail mailEnabled mailNickname proxyAddresses "
    "securityEnabled visibility"
)
_USER_MORE = _words(
    "accountEnabled ageGroup assignedLicenses city companyName country createdDateTime creationType deletedDateTime "
    "department employeeHireDate employeeId employeeOrgData employeeType externalUserState faxNumber identities "
    "imAddresses lastPasswordChangeDateTime mailNickname onPremisesDistinguishedName onPremisesDomainName "
    "onPremisesExtensionAttributes onPremisesImmutableId onPremisesLastSyncDateTime onPremisesSamAccountName "
    "onPremisesSecurityIdentifier onPremisesSyncEnabled onPremisesUserPrincipalName otherMails postalCode "
    "proxyAddresses securityIdentifier showInAddressList state streetAddress usageLocation userType"
)
_GROUP_MORE = _words(
    "classification expirationDateTime isAssignableToRole membershipRule onPremisesSamAccountName "
    "onPremisesSecurityIdentifier onPremisesSyncEnabled renewedDateTime resourceProvisioningOptions "
    "securityIdentifier theme uniqueName"
)
_USER_UNTRACKED = _words(
    "signInActivity cloudLicensing mailboxSettings deviceEnrollmentLimit print aboutMe birthday hireDate interests "
    "mySite pastProjects preferredName responsibilities schools skills"
)
_GROUP_UNTRACKED = _words(
    "accessType allowExternalSenders autoSubscribeNewMembers cloudLicensing hideFromAddressLists "
    "hideFromOutlookClients isFavorite isSubscribedByMail unseenConversationsCount unseenCount unseenMessagesCount "
    "membershipRuleProcessingStatus isArchived"
)
_DEFAULTS = {"user": USER_DEFAULTS, "group": GROUP_DEFAULTS}
_RELATIONS = {"user": frozenset({"manager"}), "group": frozenset({"members", "owners"})}
_UNTRACKED = {"user": frozenset(_USER_UNTRACKED), "group": frozenset(_GROUP_UNTRACKED)}
_KNOWN = {
    "user": frozenset([*USER_DEFAULTS, *_USER_MORE, *_USER_UNTRACKED]),
    "group": frozenset([*GROUP_DEFAULTS, *_GROUP_MORE, *_GROUP_UNTRACKED]),
}


@dataclass(frozen=True, slots=True)
class Selection:
    """What a request selects: property names without ``id`` (always there), and relationships."""

    properties: tuple[str, ...]
    relations: tuple[str, ...] = ()


def refuse(clock: Clock, status: int, code: str, message: str, *, headers: Mapping[str, str] | None = None) -> Refusal:
    """Return the refusal with Graph's error envelope."""
    request_id = str(uuid4())
    envelope = {
        "error": {
            "code": code,
            "message": message,
            "innerError": {
                "date": clock.now().strftime("%Y-%m-%dT%H:%M:%S"),
                "request-id": request_id,
                "client-request-id": request_id,
            },
        }
    }
    return Refusal(Answer(status, msgspec.json.encode(envelope), "application/json", dict(headers or {})))


def parse_select(kind: str, text: str | None, *, delta: bool, clock: Clock) -> Selection:
    """Return what ``$select`` names; None is the default set. Raises Refusal for unknown and untracked properties."""
    relations = _RELATIONS.get(kind, frozenset())
    if text is None:
        default = _DEFAULTS.get(kind, ("displayName",))
        return Selection(default, ("members",) if delta and kind == "group" else ())
    names = tuple(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))
    known = _KNOWN.get(kind)
    for name in names:
        bare = name.partition("/")[0]
        if bare == "id" or (delta and bare in relations) or bare.startswith("extension_"):
            continue
        if known is not None and bare not in known:
            raise refuse(
                clock,
                400,
                "BadRequest",
                "Parsing OData Select and Expand failed: "
                f"Could not find a property named '{bare}' on type 'microsoft.graph.{kind}'.",
            )
    untracked = [name for name in names if name in _UNTRACKED.get(kind, frozenset())]
    if delta and untracked:
        raise refuse(
            clock,
            400,
            "BadRequest",
            "Invalid request for delta query: for this entity set, $expand/$select is not supported for the following "
            f"properties: {', '.join(untracked)}",
        )
    return Selection(
        tuple(name for name in names if name != "id" and not (delta and name in relations)),
        tuple(name for name in names if delta and name in relations),
    )


def encode_inner(node: Node, properties: tuple[str, ...], *, omit_unset: bool) -> bytes:
    """Return the object's JSON without its braces, ``id`` first: unset properties left out (delta) or null (lists)."""
    key = (properties, omit_unset)
    known = node.rendered.get(key)
    if known is None:
        values: dict[str, object] = {"id": node.id}
        own = node.properties
        for name in properties:
            if name in own:
                values[name] = own[name]
            elif not omit_unset:
                values[name] = [] if name in ("businessPhones", "groupTypes", "proxyAddresses", "otherMails") else None
        known = node.rendered[key] = msgspec.json.encode(values)[1:-1]
    return known


def encode_limited(node: Node, properties: tuple[str, ...]) -> bytes:
    """Return the JSON of an object that the application may not read: type and id, everything else null."""
    return msgspec.json.encode({"id": node.id, **dict.fromkeys(properties)})[1:-1]


def encode_reference(node: Node, *, removed: bool = False) -> bytes:
    """Return an entry of ``members@delta`` and its like: type and id, and the reason ``deleted`` for an ended link."""
    tail = ',"@removed":{"reason":"deleted"}' if removed else ""
    return f'{{"@odata.type":"#microsoft.graph.{node.kind}","id":"{node.id}"{tail}}}'.encode()
