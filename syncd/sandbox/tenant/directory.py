"""The imitation tenant's truth, with one method per believable event: hires, leavers, renames, moves, agents.

Each is made of the primitive operations of ``changes``.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from syncd.sandbox.tenant.changes import Changes


class Directory(Changes):
    """One tenant. Operations raise NotFound for an unknown id and Conflict for a name that is taken."""

    def hire(
        self, display_name: str, upn: str, *, user_id: str | None = None, manager: str | None = None, **more: object
    ) -> str:
        """Create an enabled member with mail, the usual properties and ``more``; return the id."""
        properties = {
            "displayName": display_name,
            "userPrincipalName": upn,
            "mail": upn,
            "accountEnabled": True,
            "userType": "Member",
            **more,
        }
        created = self.create_user(properties, user_id=user_id)
        if manager is not None:
            self.set_manager(created, manager)
        return created

    def invite_guest(self, mail: str, *, display_name: str, user_id: str | None = None) -> str:
        """Create a guest in the form that an invitation makes (``a_b.example#EXT#@tenant``); return the id."""
        return self.create_user(
            {
                "displayName": display_name,
                "userPrincipalName": f"{mail.replace('@', '_')}#EXT#@{self.domain.split('.')[0]}.onmicrosoft.com",
                "mail": mail,
                "accountEnabled": True,
                "userType": "Guest",
                "externalUserState": "PendingAcceptance",
            },
            user_id=user_id,
        )

    def create_agent(
        self, display_name: str, upn: str, *, user_id: str | None = None, manager: str | None = None, **more: object
    ) -> str:
        """Create the account of an agent, as services of Microsoft do by themselves, and return its id.

        It is a user of the subtype agentUser, whose ``identityParentId`` names the agent's identity, a new service
        principal (resource page "agentUser").
        """
        properties = {
            "displayName": display_name,
            "userPrincipalName": upn,
            "mail": upn,
            "accountEnabled": True,
            "userType": "Member",
            "identityParentId": self.add_object("servicePrincipal", display_name, subtype="agentIdentity"),
            **more,
        }
        created = self.create_user(properties, user_id=user_id, subtype="agentUser")
        if manager is not None:
            self.set_manager(created, manager)
        return created

    def rename(self, user_id: str, *, display_name: str, upn: str) -> None:
        """Give a user another name and user principal name (and mail address, where it was the old name)."""
        values: dict[str, object] = {"displayName": display_name, "userPrincipalName": upn}
        before = self._alive(user_id).properties
        if before.get("mail") is not None and before.get("mail") == before.get("userPrincipalName"):
            values["mail"] = upn
        self.set_attributes(user_id, **values)

    def swap_names(self, first: str, second: str) -> None:
        """Two users exchange display name and user principal name; the intermediate name is gone when it returns."""
        one, two = self._alive(first).properties, self._alive(second).properties
        names = [(str(p["displayName"]), str(p["userPrincipalName"])) for p in (one, two)]
        self.rename(first, display_name=names[0][0], upn=f"swap-{first[:8]}@{self.domain}")
        self.rename(second, display_name=names[0][0], upn=names[0][1])
        self.rename(first, display_name=names[1][0], upn=names[1][1])

    def move(
        self,
        user_id: str,
        *,
        department: str,
        manager: str | None,
        leave_groups: Iterable[str] = (),
        join_groups: Iterable[str] = (),
    ) -> None:
        """Move a user to another department, manager and groups."""
        self.set_attributes(user_id, department=department)
        self.set_manager(user_id, manager)
        for group_id in leave_groups:
            self.remove_member(group_id, user_id)
        for group_id in join_groups:
            self.add_member(group_id, user_id)

    def disable(self, user_id: str) -> None:
        """Block a user's sign-in."""
        self.set_attributes(user_id, accountEnabled=False)

    def enable(self, user_id: str) -> None:
        """Allow a user's sign-in again."""
        self.set_attributes(user_id, accountEnabled=True)

    def leave(self, user_id: str, how: Literal["disable", "soft", "hard"] = "soft") -> None:
        """Somebody leaves the company: blocked, deleted restorably, or deleted for good."""
        if how == "disable":
            self.disable(user_id)
        elif how == "soft":
            self.soft_delete(user_id)
        else:
            self.hard_delete(user_id)

    def empty_group(self, group_id: str) -> int:
        """Remove all direct members of a group and return how many there were."""
        members = list(self.group(group_id).members)
        for member in members:
            self.remove_member(group_id, member)
        return len(members)

    def delete_group(self, group_id: str) -> None:
        """Delete a group restorably."""
        self.soft_delete(self.group(group_id).id)
