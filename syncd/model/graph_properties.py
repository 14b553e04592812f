"""The properties of users and groups in Microsoft Graph v1.0: one table for rules, mapping, selection and checks.

State of 2026-08-03: ``schemas/v1.0-Prod.csdl`` of github.com/microsoftgraph/msgraph-metadata, commit f54f11b, entity
types ``user`` (``agentUser`` adds nothing to it), ``group`` and ``directoryObject``; the national clouds declare no
other properties. Permissions: reference page "Get user", "Permissions for specific scenarios". Untracked properties:
"Working with users", "Working with groups" (properties stored outside the main data store) and "user: delta".
``hasMembersWithLicenseErrors``: reference page "group". Both types are open: a tenant's own properties are no part of
this table, and properties that are newer than it are left to Graph to judge.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from syncd.model.kinds import RecordKind

SCHEMA_DATE = "2026-08-03"


@dataclass(frozen=True, slots=True)
class Kind:
    """What a property holds: ``text``, ``flag``, ``number``, ``time`` (a text like 2026-03-01T00:00:00Z) or an object.

    The type of an object is a key of ``OBJECTS``. ``many``: a list of such values.
    """

    type: str
    many: bool = False


def _split(*names: str) -> frozenset[str]:
    return frozenset(" ".join(names).split())


def _read(table: Mapping[str, str]) -> dict[str, Kind]:
    """Return name -> kind, from the names by kind; ``text*`` stands for a list of texts."""
    return {name: Kind(kind.rstrip("*"), kind.endswith("*")) for kind, names in table.items() for name in names.split()}


_USER = {
    "text": (
        "id aboutMe ageGroup city companyName consentProvidedForMinor country creationType department displayName "
        "employeeId employeeType externalUserState faxNumber givenName identityParentId jobTitle "
        "legalAgeGroupClassification mail mailNickname mobilePhone mySite officeLocation onPremisesDistinguishedName "
        "onPremisesDomainName onPremisesImmutableId onPremisesSamAccountName onPremisesSecurityIdentifier "
        "onPremisesUserPrincipalName passwordPolicies postalCode preferredDataLocation preferredLanguage preferredName "
        "securityIdentifier state streetAddress surname usageLocation userPrincipalName userType"
    ),
    "text*": (
        "businessPhones imAddresses interests otherMails pastProjects proxyAddresses responsibilities schools skills"
    ),
    "flag": "accountEnabled isManagementRestricted isResourceAccount onPremisesSyncEnabled showInAddressList",
    "number": "deviceEnrollmentLimit",
    "time": (
        "birthday createdDateTime deletedDateTime employeeHireDate employeeLeaveDateTime "
        "externalUserStateChangeDateTime hireDate lastPasswordChangeDateTime onPremisesLastSyncDateTime "
        "signInSessionsValidFromDateTime"
    ),
    "assignedLicense*": "assignedLicenses",
    "assignedPlan*": "assignedPlans",
    "authorizationInfo": "authorizationInfo",
    "customSecurityAttributeValue": "customSecurityAttributes",
    "employeeOrgData": "employeeOrgData",
    "licenseAssignmentState*": "licenseAssignmentStates",
    "mailboxSettings": "mailboxSettings",
    "objectIdentity*": "identities",
    "onPremisesExtensionAttributes": "onPremisesExtensionAttributes",
    "onPremisesProvisioningError*": "onPremisesProvisioningErrors",
    "passwordProfile": "passwordProfile",
    "provisionedPlan*": "provisionedPlans",
    "serviceProvisioningError*": "serviceProvisioningErrors",
    "signInActivity": "signInActivity",
    "userPrint": "print",
}
_GROUP = {
    "text": (
        "id accessType classification description displayName mail mailNickname membershipRule "
        "membershipRuleProcessingState onPremisesDomainName onPremisesNetBiosName onPremisesSamAccountName "
        "onPremisesSecurityIdentifier organizationId preferredDataLocation preferredLanguage securityIdentifier theme "
        "uniqueName visibility"
    ),
    "text*": "groupTypes infoCatalogs proxyAddresses resourceBehaviorOptions resourceProvisioningOptions",
    "flag": (
        "allowExternalSenders autoSubscribeNewMembers hasMembersWithLicenseErrors hideFromAddressLists "
        "hideFromOutlookClients isArchived isAssignableToRole isFavorite isManagementRestricted isSubscribedByMail "
        "mailEnabled onPremisesSyncEnabled securityEnabled welcomeMessageEnabled"
    ),
    "number": "unseenConversationsCount unseenCount unseenMessagesCount",
    "time": "createdDateTime deletedDateTime expirationDateTime onPremisesLastSyncDateTime renewedDateTime",
    "assignedLabel*": "assignedLabels",
    "assignedLicense*": "assignedLicenses",
    "licenseProcessingState": "licenseProcessingState",
    "onPremisesExtensionAttributes": "onPremisesExtensionAttributes",
    "onPremisesProvisioningError*": "onPremisesProvisioningErrors",
    "serviceProvisioningError*": "serviceProvisioningErrors",
}
_OBJECTS = {
    "assignedLabel": {"text": "displayName labelId"},
    "assignedLicense": {"text": "skuId", "text*": "disabledPlans"},
    "assignedPlan": {"text": "capabilityStatus service servicePlanId", "time": "assignedDateTime"},
    "authorizationInfo": {"text*": "certificateUserIds"},
    "employeeOrgData": {"text": "costCenter division"},
    "licenseProcessingState": {"text": "state"},
    "objectIdentity": {"text": "issuer issuerAssignedId signInType"},
    "onPremisesExtensionAttributes": {"text": " ".join(f"extensionAttribute{number}" for number in range(1, 16))},
    "onPremisesProvisioningError": {"text": "category propertyCausingError value", "time": "occurredDateTime"},
    "passwordProfile": {
        "flag": "forceChangePasswordNextSignIn forceChangePasswordNextSignInWithMfa",
        "text": "password",
    },
    "provisionedPlan": {"text": "capabilityStatus provisioningStatus service"},
    "serviceProvisioningError": {
        "flag": "isResolved",
        "text": "errorDetail serviceInstance",
        "time": "createdDateTime",
    },
}

PROPERTIES: Mapping[RecordKind, Mapping[str, Kind]] = {"user": _read(_USER), "group": _read(_GROUP)}

OBJECTS: Mapping[str, Mapping[str, Kind]] = {name: _read(table) for name, table in _OBJECTS.items()}
"""What objects hold. A type without an entry is open, or never looked into: its names are not judged."""

RELATIONS: Mapping[RecordKind, frozenset[str]] = {
    "user": _split(
        "activities adhocCalls agreementAcceptances appRoleAssignments authentication calendar calendarGroups "
        "calendars calendarView chats cloudClipboard cloudPCs contactFolders contacts createdObjects "
        "dataSecurityAndGovernance deviceManagementTroubleshootingEvents directReports drive drives "
        "employeeExperience events extensions followedSites inferenceClassification informationProtection insights "
        "joinedTeams licenseDetails mailFolders managedAppRegistrations managedDevices manager memberOf messages "
        "oauth2PermissionGrants onenote onlineMeetings onPremisesSyncBehavior outlook ownedDevices ownedObjects "
        "people permissionGrants photo photos planner presence registeredDevices scopedRoleMemberOf settings "
        "solutions sponsorOf sponsors teamwork todo transitiveMemberOf"
    ),
    "group": _split(
        "acceptedSenders appRoleAssignments calendar calendarView conversations createdOnBehalfOf drive drives "
        "events extensions groupLifecyclePolicies memberOf members membersWithLicenseErrors onenote "
        "onPremisesSyncBehavior owners permissionGrants photo photos planner rejectedSenders settings sites team "
        "threads transitiveMemberOf transitiveMembers"
    ),
}
"""What leads to other objects: no value of its own, and as a selection either refused or empty for everybody."""

UNTRACKED: Mapping[RecordKind, frozenset[str]] = {
    "user": _split(
        "signInActivity cloudLicensing mailboxSettings deviceEnrollmentLimit print aboutMe birthday hireDate "
        "interests mySite pastProjects preferredName responsibilities schools skills licenseAssignmentStates"
    ),
    "group": _split(
        "accessType allowExternalSenders autoSubscribeNewMembers cloudLicensing hideFromAddressLists "
        "hideFromOutlookClients welcomeMessageEnabled isFavorite isSubscribedByMail isArchived "
        "unseenConversationsCount unseenCount unseenMessagesCount membershipRuleProcessingStatus"
    ),
}
"""Properties whose changes no delta query reports. They are stored outside of the directory's main store."""

UNTOLD: Mapping[RecordKind, frozenset[str]] = {
    "user": frozenset(),
    "group": frozenset({"hasMembersWithLicenseErrors"}),
}
"""Properties that Graph only filters by and never returns."""

OWN_PERMISSION: Mapping[RecordKind, Mapping[str, str]] = {
    "user": {
        "customSecurityAttributes": "CustomSecAttributeAssignment.Read.All",
        "employeeLeaveDateTime": "User-LifeCycleInfo.Read.All",
        "passwordProfile": "User-PasswordProfile.ReadWrite.All",
    },
    "group": {},
}
"""Properties that the permission for the stream does not open, with the least application permission that does."""
