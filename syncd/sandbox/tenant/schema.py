"""The schema of users and groups in Microsoft Graph v1.0: properties with type, relationships, how each may be read.

Names and types are those of the service's metadata as published on 2026-08-20 (microsoftgraph/msgraph-metadata,
``schemas/v1.0-Prod.csdl``, commit f54f11b6; the relationship ``notes`` is from msgraph-sdk 1.65.0). The marks are from
the documentation of v1.0:

=============  =====================================================================================================
default        comes without ``$select`` ("Returned by default" in the resource pages user and group)
single         only with a single object; a list of users that selects it is refused with 501 ("List users"). Of
               groups: "Supported only on the Get group API"
never          can be selected, but is not returned ("List groups")
untracked      stored outside the main store; delta refuses it ("Working with users", "Working with groups")
sort           ``$orderby`` works ("Advanced query capabilities on directory objects")
sort-advanced  ``$orderby`` works with ``ConsistencyLevel: eventual`` and ``$count=true`` only (the same page)
=============  =====================================================================================================

A type that ends in ``[]`` is a list. Names are compared without case, and answered as they stand here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

SCHEMA_DATE = "2026-08-20"

Where = Literal["anywhere", "single", "never"]
Sorting = Literal["no", "plain", "advanced"]


@dataclass(frozen=True, slots=True)
class Property:
    """One property. ``type`` is text, flag, number, time or the name of a complex type; ``many``: it is a list.

    ``permission`` is what an application needs to see values, beside reading the object; None: nothing.
    """

    name: str
    type: str
    many: bool
    default: bool
    where: Where
    tracked: bool
    sorting: Sorting
    permission: str | None


@dataclass(frozen=True, slots=True)
class Relation:
    """One relationship (navigation property)."""

    name: str
    many: bool


class Schema:
    """What is known of one entity type. Lookups are without case and return None for unknown names."""

    def __init__(self, properties: str, relations: str) -> None:
        read = [_read_property(line) for line in properties.split("\n") if line]
        self.properties: tuple[Property, ...] = tuple(read)
        self.relations: tuple[Relation, ...] = tuple(
            Relation(word.removesuffix("[]"), word.endswith("[]")) for word in relations.split()
        )
        self.defaults: tuple[str, ...] = tuple(each.name for each in read if each.default and each.name != "id")
        self._properties = {each.name.casefold(): each for each in self.properties}
        self._relations = {each.name.casefold(): each for each in self.relations}

    def property(self, name: str) -> Property | None:
        """Return the property of that name."""
        return self._properties.get(name.casefold())

    def relation(self, name: str) -> Relation | None:
        """Return the relationship of that name."""
        return self._relations.get(name.casefold())


_PERMISSIONS = {
    "customSecurityAttributes": "CustomSecAttributeAssignment.Read.All",
    "employeeLeaveDateTime": "User-LifeCycleInfo.Read.All",
    "mailboxSettings": "MailboxSettings.Read",
    "signInActivity": "AuditLog.Read.All",
}
"""From "Get user", "Permissions for specific scenarios", and the pages of the single properties."""


def _read_property(line: str) -> Property:
    name, kind, *marks = line.split()
    sorting: Sorting = "plain" if "sort" in marks else "advanced" if "sort-advanced" in marks else "no"
    where: Where = "single" if "single" in marks else "never" if "never" in marks else "anywhere"
    return Property(
        name,
        kind.removesuffix("[]"),
        many=kind.endswith("[]"),
        default="default" in marks,
        where=where,
        tracked="untracked" not in marks,
        sorting=sorting,
        permission=_PERMISSIONS.get(name),
    )


_USER = """
aboutMe text single untracked
accountEnabled flag
ageGroup text
assignedLicenses assignedLicense[]
assignedPlans assignedPlan[]
authorizationInfo authorizationInfo
birthday time single untracked
businessPhones text[] default
city text
companyName text
consentProvidedForMinor text
country text
createdDateTime time sort-advanced
creationType text
customSecurityAttributes customSecurityAttributeValue
deletedDateTime time sort-advanced
department text
deviceEnrollmentLimit number untracked
displayName text default sort
employeeHireDate time
employeeId text
employeeLeaveDateTime time
employeeOrgData employeeOrgData
employeeType text
externalUserState text
externalUserStateChangeDateTime time
faxNumber text
givenName text default
hireDate time single untracked
id text default
identities objectIdentity[]
identityParentId text
imAddresses text[]
interests text[] single untracked
isManagementRestricted flag
isResourceAccount flag
jobTitle text default
lastPasswordChangeDateTime time
legalAgeGroupClassification text
licenseAssignmentStates licenseAssignmentState[]
mail text default
mailboxSettings mailboxSettings single untracked
mailNickname text
mobilePhone text default
mySite text single untracked
officeLocation text default
onPremisesDistinguishedName text
onPremisesDomainName text
onPremisesExtensionAttributes onPremisesExtensionAttributes
onPremisesImmutableId text
onPremisesLastSyncDateTime time
onPremisesProvisioningErrors onPremisesProvisioningError[]
onPremisesSamAccountName text
onPremisesSecurityIdentifier text
onPremisesSyncEnabled flag
onPremisesUserPrincipalName text
otherMails text[]
passwordPolicies text
passwordProfile passwordProfile
pastProjects text[] single untracked
postalCode text
preferredDataLocation text
preferredLanguage text default
preferredName text single untracked
print userPrint untracked
provisionedPlans provisionedPlan[]
proxyAddresses text[]
responsibilities text[] single untracked
schools text[] single untracked
securityIdentifier text
serviceProvisioningErrors serviceProvisioningError[]
showInAddressList flag
signInActivity signInActivity untracked
signInSessionsValidFromDateTime time
skills text[] single untracked
state text
streetAddress text
surname text default
usageLocation text
userPrincipalName text default sort
userType text
"""
_USER_RELATIONS = """
activities[] adhocCalls[] agreementAcceptances[] appRoleAssignments[] authentication calendar calendarGroups[]
calendars[] calendarView[] chats[] cloudClipboard cloudPCs[] contactFolders[] contacts[] createdObjects[]
dataSecurityAndGovernance deviceManagementTroubleshootingEvents[] directReports[] drive drives[] employeeExperience
events[] extensions[] followedSites[] inferenceClassification insights joinedTeams[] licenseDetails[] mailFolders[]
managedAppRegistrations[] managedDevices[] manager memberOf[] messages[] notes oauth2PermissionGrants[] onenote
onlineMeetings[] onPremisesSyncBehavior outlook ownedDevices[] ownedObjects[] people[] permissionGrants[] photo
photos[] planner presence registeredDevices[] scopedRoleMemberOf[] settings solutions sponsorOf[] sponsors[] teamwork
todo transitiveMemberOf[]
"""

_GROUP = """
accessType groupAccessType untracked
allowExternalSenders flag single untracked
assignedLabels assignedLabel[]
assignedLicenses assignedLicense[]
autoSubscribeNewMembers flag single untracked
classification text default
createdDateTime time default
deletedDateTime time default sort-advanced
description text default
displayName text default sort
expirationDateTime time default
groupTypes text[] default
hasMembersWithLicenseErrors flag never
hideFromAddressLists flag single untracked
hideFromOutlookClients flag single untracked
id text default
infoCatalogs text[]
isArchived flag never untracked
isAssignableToRole flag default
isFavorite flag untracked
isManagementRestricted flag
isSubscribedByMail flag single untracked
licenseProcessingState licenseProcessingState
mail text default
mailEnabled flag default
mailNickname text default
membershipRule text default
membershipRuleProcessingState text default
onPremisesDomainName text default
onPremisesExtensionAttributes onPremisesExtensionAttributes
onPremisesLastSyncDateTime time default
onPremisesNetBiosName text default
onPremisesProvisioningErrors onPremisesProvisioningError[] default
onPremisesSamAccountName text default
onPremisesSecurityIdentifier text default
onPremisesSyncEnabled flag default
organizationId text
preferredDataLocation text default
preferredLanguage text default
proxyAddresses text[] default
renewedDateTime time default
resourceBehaviorOptions text[] default
resourceProvisioningOptions text[] default
securityEnabled flag default
securityIdentifier text default
serviceProvisioningErrors serviceProvisioningError[] default
theme text default
uniqueName text default
unseenConversationsCount number untracked
unseenCount number single untracked
unseenMessagesCount number untracked
visibility text default
welcomeMessageEnabled flag untracked
"""
_GROUP_RELATIONS = """
acceptedSenders[] appRoleAssignments[] calendar calendarView[] conversations[] createdOnBehalfOf drive drives[]
events[] extensions[] groupLifecyclePolicies[] memberOf[] members[] membersWithLicenseErrors[] onenote
onPremisesSyncBehavior owners[] permissionGrants[] photo photos[] planner rejectedSenders[] settings[] sites[] team
threads[] transitiveMemberOf[] transitiveMembers[]
"""

SCHEMAS: Mapping[str, Schema] = {
    "user": Schema(_USER, _USER_RELATIONS),
    "group": Schema(_GROUP, _GROUP_RELATIONS),
}
"""By the name of the entity type; subtypes of user add no property of their own."""
