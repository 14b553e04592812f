"""The company that lives in the imitation tenant: seeded, believable, of any size.

Among its people: a tree of managers, guests, blocked accounts, service mailboxes, names and principal names that a BPS
portal refuses, people without mail. Among its groups: departments built of teams (nested), a diamond, a cycle, very
large ones, hidden ones, dynamic ones, and members that are devices or service principals. The same options give the
same company, id for id. Some start to work or leave in the weeks after it was founded.
"""

from __future__ import annotations

import random
import unicodedata
import uuid
from dataclasses import dataclass
from datetime import datetime, timedelta

from syncd.sandbox.tenant.directory import Directory
from syncd.sandbox.tenant.names import DEPARTMENTS, FIRST_NAMES, LAST_NAMES, PROJECTS, SITES
from syncd.sandbox.tenant.objects import Group, Node

GUEST_NAME = "Lena Fischer (Hafen Partner)"
GUEST_MAIL = "lena.fischer@hafenpartner.example"
_DATED, _STARTS, _LEAVES = 40, 12, 25  # of so many people one starts within a month, and one leaves
_SPAN = 8  # how many people report to one manager
_SPECIALS_FROM = 25  # a smaller company has no odd people


@dataclass(frozen=True, slots=True)
class CompanyOptions:
    """How big the company is. ``memberships`` are direct ones, all groups together; big groups count among groups."""

    users: int = 500
    groups: int = 60
    memberships: int = 3000
    big_groups: int = 0
    big_group_size: int = 10_000
    seed: int = 1


def found_company(directory: Directory, options: CompanyOptions) -> None:
    """Fill an empty tenant with people and groups. Nothing of this is in the change log."""
    founder = _Founder(directory, options)
    founder.add_people()
    founder.add_groups()


class _Founder:
    def __init__(self, directory: Directory, options: CompanyOptions) -> None:
        self.directory = directory
        self.options = options
        self.chance = random.Random(f"company-{options.seed}")  # noqa: S311 - reproducible imitation
        self.people: list[Node] = []
        self.by_department: dict[str, list[Node]] = {name: [] for name, _, _ in DEPARTMENTS}
        self.names: dict[str, int] = {}

    # ---- people

    def add_people(self) -> None:
        weights = [weight for _, weight, _ in DEPARTMENTS]
        specials = self.options.users >= _SPECIALS_FROM
        for number in range(self.options.users):
            department, _, titles = self.chance.choices(DEPARTMENTS, weights)[0]
            if specials and (number == 17 or number % 40 == 39):
                person = self._guest(number)
            elif specials and number % 97 == 96:
                person = self._service_mailbox(number)
            else:
                person = self._employee(number, department, titles)
                self.by_department[department].append(person)
            self.people.append(self.directory.place(person))
        self._appoint_managers()
        if specials:
            self._make_odd()

    def _employee(self, number: int, department: str, titles: tuple[str, ...]) -> Node:
        chance = self.chance
        first, last = chance.choice(FIRST_NAMES), chance.choice(LAST_NAMES)
        site, country, prefix = chance.choice(SITES)
        local = f"{plain(first)}.{plain(last)}"
        self.names[local] = count = self.names.get(local, 0) + 1
        upn = f"{local}{count if count > 1 else ''}@{self.directory.domain}"
        properties: dict[str, object] = {
            "displayName": f"{first} {last}",
            "givenName": first,
            "surname": last,
            "userPrincipalName": upn,
            "mail": upn,
            "accountEnabled": chance.random() >= 0.02,
            "userType": "Member",
            "department": department,
            "jobTitle": chance.choice(titles),
            "companyName": "Nordwind Logistics",
            "officeLocation": site,
            "city": site,
            "country": country,
            "usageLocation": country,
            "employeeId": f"{100_000 + number}",
            "preferredLanguage": "pl-PL" if country == "PL" else "en-GB",
            "createdDateTime": f"20{chance.randint(12, 25)}-{chance.randint(1, 12):02}-01T08:00:00Z",
        }
        properties["employeeHireDate"] = properties["createdDateTime"]
        today = self.directory.clock.now().replace(hour=0, minute=0, second=0, microsecond=0)
        if number % _DATED == _STARTS:  # an account that was made before its first day
            properties["employeeHireDate"] = _format(today + timedelta(days=3 + number // _DATED % 28))
        elif number % _DATED == _LEAVES:
            properties["employeeLeaveDateTime"] = _format(today + timedelta(days=5 + number // _DATED % 28, hours=17))
        if chance.random() < 0.6:
            properties["mobilePhone"] = f"+48 5{chance.randint(10_000_000, 99_999_999)}"
        if chance.random() < 0.5:
            properties["businessPhones"] = [f"{prefix} {chance.randint(100_000, 999_999)}"]
        return Node(self._new_id(), "user", properties)

    def _guest(self, number: int) -> Node:
        first, last = self.chance.choice(FIRST_NAMES), self.chance.choice(LAST_NAMES)
        name, mail = f"{first} {last}", f"{plain(first)}.{plain(last)}{number}@partner.example"
        if number == 17:
            name, mail = GUEST_NAME, GUEST_MAIL
        tenant = self.directory.domain.partition(".")[0]
        properties: dict[str, object] = {
            "displayName": name,
            "userPrincipalName": f"{mail.replace('@', '_')}#EXT#@{tenant}.onmicrosoft.com",
            "mail": mail,
            "accountEnabled": True,
            "userType": "Guest",
            "externalUserState": "Accepted",
        }
        return Node(self._new_id(), "user", properties)

    def _service_mailbox(self, number: int) -> Node:
        upn = f"svc-{plain(DEPARTMENTS[number % len(DEPARTMENTS)][0])}-{number}@{self.directory.domain}"
        properties: dict[str, object] = {
            "displayName": f"Service account {number}",
            "userPrincipalName": upn,
            "accountEnabled": number % 2 == 0,
            "userType": "Member",
        }
        if number % 2 == 0:
            properties["mail"] = upn
        return Node(self._new_id(), "user", properties)

    def _appoint_managers(self) -> None:
        heads = [staff[0] for staff in self.by_department.values() if staff]
        for staff in self.by_department.values():
            for rank, person in enumerate(staff[1:], start=1):
                person.manager = staff[(rank - 1) // _SPAN].id
        for head in heads[1:]:
            head.manager = heads[0].id
        if heads:
            heads[0].properties["jobTitle"] = "Chief Executive Officer"

    def _make_odd(self) -> None:
        """Give some employees what a portal refuses or a careless mapping trips over."""
        employees = [p for p in self.people if "employeeId" in p.properties]
        rename = [
            (employees[3], f"anna+logistics@{self.directory.domain}"),
            (employees[5], f"o'hara.{employees[5].id[:4]}@{self.directory.domain}"),
            (employees[7], f"kiosk#7@{self.directory.domain}"),
        ]
        for person, upn in rename:
            self.directory.set_attributes(person.id, userPrincipalName=upn)
        self.directory.set_attributes(employees[11].id, accountEnabled=None)
        del employees[9].properties["mail"]
        self.directory.log.clear()

    # ---- groups

    def add_groups(self) -> None:
        options, left = self.options, self.options.memberships
        groups = [self._group(number) for number in range(options.groups)]
        if not groups or not self.people:
            return
        left -= self._fill_big_groups(groups[: options.big_groups], left)
        rest = groups[options.big_groups :]
        if self.options.users >= _SPECIALS_FROM and len(rest) >= 12:
            left -= self._add_structure(rest)
        self._fill(rest, left)

    def _group(self, number: int) -> Group:
        name, more = self._group_name(number)
        properties: dict[str, object] = {
            "displayName": name,
            "description": f"{name} at Nordwind Logistics",
            "mailNickname": plain(name),
            "groupTypes": [],
            "securityEnabled": True,
            "mailEnabled": False,
            "createdDateTime": "2019-03-01T09:00:00Z",
            **more,
        }
        group = Group(self._new_id(), "group", properties)
        self.directory.place(group)
        return group

    def _group_name(self, number: int) -> tuple[str, dict[str, object]]:
        big, fixed = self.options.big_groups, ("BPS users", "BPS power users", "Managers", "Approvers A", "Approvers B")
        if number < big:
            return f"All staff {number + 1}", {
                "groupTypes": ["DynamicMembership"],
                "membershipRule": "user.accountEnabled",
            }
        number -= big
        if number < len(fixed):
            return fixed[number], {}
        number -= len(fixed)
        if number < len(DEPARTMENTS):
            return f"Department {DEPARTMENTS[number][0]}", {}
        number -= len(DEPARTMENTS)
        pairs = len(DEPARTMENTS) * len(SITES)
        if number < pairs:
            return f"Team {DEPARTMENTS[number % len(DEPARTMENTS)][0]} {SITES[number // len(DEPARTMENTS)][0]}", {}
        number -= pairs
        name = f"Project {PROJECTS[number % len(PROJECTS)]} {number // len(PROJECTS) + 1}"
        if number % 3 == 0:
            mail = f"{plain(name)}@{self.directory.domain}"
            return name, {"groupTypes": ["Unified"], "mailEnabled": True, "mail": mail, "visibility": "Private"}
        return name, {"visibility": "HiddenMembership"} if number % 50 == 49 else {}

    def _fill_big_groups(self, groups: list[Group], budget: int) -> int:
        used = 0
        for group in groups:
            size = min(self.options.big_group_size, len(self.people), budget - used)
            self.directory.place_links(group, (p.id for p in self.chance.sample(self.people, size)))
            used += size
        return used

    def _add_structure(self, groups: list[Group]) -> int:
        """Nest teams into departments, add a diamond, a cycle, machines and owners; return the memberships made."""
        directory = self.directory
        named = {str(group.properties["displayName"]): group for group in groups}
        before = sum(len(group.members) for group in groups)
        for name, group in named.items():
            if name.startswith("Department "):
                teams = [t.id for n, t in named.items() if n.startswith(f"Team {name.removeprefix('Department ')} ")]
                directory.place_links(group, teams)
        departments = [group.id for name, group in named.items() if name.startswith("Department ")]
        directory.place_links(named["BPS users"], departments)
        directory.place_links(named["Managers"], departments[:2])  # with BPS users: two ways to the same people
        directory.place_links(named["BPS users"], [named["Managers"].id])
        directory.place_links(named["Approvers A"], [named["Approvers B"].id])
        directory.place_links(named["Approvers B"], [named["Approvers A"].id])
        machines = [directory.add_object("device", f"SCANNER-{n:03}") for n in range(3)]
        machines.append(directory.add_object("servicePrincipal", "Warehouse integration"))
        directory.place_links(groups[-1], machines)
        for group in groups[::7]:
            directory.place_links(group, [self.chance.choice(self.people).id], relation="owners")
        guest = next(p for p in self.people if p.properties.get("mail") == GUEST_MAIL)
        directory.place_links(named["BPS users"], [guest.id])
        return sum(len(group.members) for group in groups) - before

    def _fill(self, groups: list[Group], budget: int) -> None:
        """Spread memberships over groups, few large and many small ones, until the budget is used."""
        people, chance = [person.id for person in self.people], self.chance
        weights = [1.0 / (1 + rank % 40) for rank in range(len(groups))]
        scale = budget / sum(weights) if groups else 0.0
        for group, weight in zip(groups, weights, strict=True):
            size = min(len(people) // 2 + 1, max(0, round(weight * scale)), max(budget, 0), len(people))
            before = len(group.members)
            self.directory.place_links(group, chance.sample(people, size))
            budget -= len(group.members) - before
        for _ in range(8):
            for group in groups:
                if budget <= 0:
                    return
                before = len(group.members)
                room = min(budget, len(people) - before)
                self.directory.place_links(group, chance.sample(people, max(0, min(room, budget // len(groups) + 1))))
                budget -= len(group.members) - before

    def _new_id(self) -> str:
        return str(uuid.UUID(int=self.chance.getrandbits(128), version=4))


def _format(moment: datetime) -> str:
    return f"{moment:%Y-%m-%dT%H:%M:%SZ}"


def plain(text: str) -> str:
    """Return a name as it stands in an address: lower case, ASCII letters, digits, dots and dashes."""
    replaced = text.translate(str.maketrans("ŁłØøıß", "LlOois"))
    ascii_only = unicodedata.normalize("NFKD", replaced).encode("ascii", "ignore").decode()
    return "".join(c if c.isalnum() or c in "-." else "-" if c == " " else "" for c in ascii_only.lower())
