"""Which properties of users and groups a rule may look at: those whose changes Microsoft Graph's delta query reports.

The untracked ones are stored outside of the directory's main store (learn.microsoft.com, "Working with users" and
"Working with groups", properties stored outside the main data store; "user: delta" for the licence states). Open and
schema extensions are not tracked either (known issues); directory extensions are.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from syncd.model.kinds import RecordKind

_USER_UNTRACKED = (
    "signInActivity cloudLicensing mailboxSettings deviceEnrollmentLimit print aboutMe birthday hireDate interests "
    "mySite pastProjects preferredName responsibilities schools skills licenseAssignmentStates"
)
_GROUP_UNTRACKED = (
    "accessType allowExternalSenders autoSubscribeNewMembers cloudLicensing hideFromAddressLists "
    "hideFromOutlookClients welcomeMessageEnabled isFavorite isSubscribedByMail isArchived unseenConversationsCount "
    "unseenCount unseenMessagesCount membershipRuleProcessingStatus"
)
_RELATIONS = (
    "manager directReports memberOf transitiveMemberOf ownedObjects ownedDevices members registeredDevices "
    "createdObjects photo owners transitiveMembers extensions"
)
_COLLECTIONS = {
    "user": "assignedLicenses assignedPlans businessPhones identities imAddresses onPremisesProvisioningErrors "
    "otherMails provisionedPlans proxyAddresses serviceProvisioningErrors",
    "group": "assignedLabels assignedLicenses groupTypes onPremisesProvisioningErrors proxyAddresses "
    "resourceBehaviorOptions resourceProvisioningOptions serviceProvisioningErrors",
}

UNTRACKED = {
    "user": frozenset(_USER_UNTRACKED.casefold().split()),
    "group": frozenset(_GROUP_UNTRACKED.casefold().split()),
}
"""In lower case: Graph does not mind how a property is written."""

RELATIONS = frozenset(_RELATIONS.casefold().split())
COLLECTIONS = {entity: frozenset(names.split()) for entity, names in _COLLECTIONS.items()}
"""Properties that are lists. One that was never set is absent from a delta and empty in a list; here it is empty."""

_ON_PREMISES = "onPremisesExtensionAttributes"
_NUMBERED = re.compile(r"extensionAttribute(?:[1-9]|1[0-5])")
_DIRECTORY_EXTENSION = re.compile(r"extension_[0-9a-fA-F]{32}_\w+", re.ASCII)


def find_attribute_problem(entity: RecordKind, path: Sequence[str]) -> tuple[str, str] | None:
    """Return why a rule cannot follow a property, and the way out; None when it can.

    ``path`` is the property and what is looked at inside of it. Whether Graph knows the property is not judged here.
    """
    head, *inner = path
    if head.casefold() in UNTRACKED[entity]:
        return f"uses {head}, whose changes Microsoft Graph does not report", "use another attribute"
    if head.casefold() in RELATIONS:
        return f"uses {head}, which is a relation and no attribute", "use an attribute with a value of its own"
    if head == _ON_PREMISES and inner and not (len(inner) == 1 and _NUMBERED.fullmatch(inner[0])):
        return "names no extension attribute", f"write {_ON_PREMISES}.extensionAttribute1 (1 to 15)"
    if "_" in head and not _DIRECTORY_EXTENSION.fullmatch(head):
        return (
            f"uses {head}, which is no directory extension; changes of schema extensions are not reported",
            "write extension_APPID_NAME, APPID being the 32 hexadecimal digits of the owning application's client id",
        )
    return None
