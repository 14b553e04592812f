"""Places and privileges of the imitation portal's API. What WEBCON's document leaves open is a switch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from syncd.sandbox.portal.moments import Moments
from syncd.sandbox.portal.places import KINDS, ContentDatabase, Given, Item, Kind
from syncd.sandbox.portal.store import PortalRefusal, PortalStore

_PROCESS_LEVELS = (
    "Administrator",
    "Modify",
    "ReadOnly",
    "ReadOnlyWithoutAttachments",
    "Start",
    "ManageArchive",
    "DesignerDeskEditInPortal",
)
LEVELS = {
    "application": ("Administrator", "PortalDesigner", "MetadataAccess", "ReadOnly"),
    "process": _PROCESS_LEVELS,
    "form type": _PROCESS_LEVELS,
}
_KINDS: Mapping[str, Kind] = {"applications": "application", "processes": "process", "workflows": "workflow"}


class Privileges:
    """What the API answers about content databases, and who may do what there."""

    def __init__(self, store: PortalStore, application: str) -> None:
        """``application``: the BPS id of the API application."""
        self._store = store
        self._application = application
        self.begin()

    def begin(self) -> None:
        """Look at what the store has now; nothing is on its way there."""
        self.databases = self._store.databases
        self.given = self._store.privileges
        self._store.moments = Moments(self._store.clock)

    def catch_up(self) -> None:
        """Let everything take effect that is due, and remember what is there for readings that are behind."""
        self._store.moments.catch_up()
        self._store.moments.recall(self.given, seconds=self._store.knobs.privileges_shown_after)

    def answer(
        self, method: str, path: Sequence[str], body: Mapping[str, object] | None, scopes: frozenset[str]
    ) -> tuple[object, str]:
        """Answer one request behind ``db/`` and return the document (None: no body) with the name of its route."""
        self.catch_up()
        allowed = {"App.Metadata.ReadWrite" if method != "GET" else "App.Metadata.Read"}
        if self._store.knobs.privilege_write_scope_reads:
            allowed.add("App.Metadata.ReadWrite")
        if not scopes & allowed:
            raise PortalRefusal(403, "InvalidScope", f"One of the scopes is required: {'; '.join(sorted(allowed))}")
        number, *rest = path
        database = self._find_database(number)
        match method, rest:
            case "GET", ["applications"]:
                return _list("applications", self._shown(database)), "applications"
            case "GET", [("applications" | "processes") as kind, reference]:
                item = self._find(database, _KINDS[kind], reference)
                more = {"groupId": 0, "groupName": None} if item.kind == "application" else {}
                return {**_describe(item), "description": None, **more}, kind
            case "GET", ["applications", reference, "processes"]:
                above = self._find(database, "application", reference)
                entries = [{**_describe(each), "isRelation": False} for each in above.list("process")]
                return {"processes": entries}, "applications/processes"
            case "GET", ["processes", reference, "workflows"]:
                above = self._find(database, "process", reference)
                return _list("workflows", above.list("workflow")), "processes/workflows"
            case "GET", ["processes", reference, "formtypes"]:
                above = self._find(database, "process", reference)
                return _list("formTypes", above.list("form type")), "processes/formtypes"
            case "GET", ["workflows", reference, "associatedFormTypes"]:
                above = self._find(database, "workflow", reference)
                return _list("associatedFormTypes", above.list("form type")), "workflows/associatedFormTypes"
            case "GET", [*where, "admin", "privileges"]:
                place = self._find_place(database, int(number), where, unrelated=404)
                self._check_rights(database, place, writes=False)
                return self._list_holders(place), "privileges"
            case "POST", [*where, "admin", "privileges", ("add" | "remove") as verb]:
                place = self._find_place(database, int(number), where)
                self._check_rights(database, place, writes=True)
                self._change(database, place, verb, body or {})
                self.catch_up()  # readings that are behind are so from this moment on
                return None, f"privileges/{verb}"
        raise PortalRefusal(404, "ResourceNotFound", "Resource not found")

    def list_companies(self, number: str, scopes: frozenset[str]) -> object:
        """Answer ``admin/db/{dbId}/businessentities``."""
        if not scopes & {"Admin.Read.All", "Admin.ReadWrite.All", "Admin.BusinessEntities.Read"}:
            raise PortalRefusal(403, "InvalidScope", "The scope Admin.BusinessEntities.Read is required")
        found = self._find_database(number).companies
        return {"businessEntities": [{**_describe(company), "code": company.name} for company in found]}

    # ---- inside

    def _find_database(self, number: str) -> ContentDatabase:
        found = self.databases.get(int(number)) if number.isdecimal() and len(number) < 10 else None
        if found is None:
            status = self._store.knobs.unknown_database_status
            code = "InvalidQueryParameterValue" if status == 400 else "ResourceNotFound"
            raise PortalRefusal(status, code, "There is no such content database")
        return found

    def _shown(self, database: ContentDatabase) -> list[Item]:
        """Return the applications that an application in application context sees."""
        match self._store.knobs.places_visible:
            case "all":
                return database.applications
            case "privileged":
                own = self._store.key(self._application)
                mine = {given.place[3] for given in self.given if given.key == own}
                return [item for item in database.applications if item.guid in mine]
        return []

    def _find(self, database: ContentDatabase, kind: Kind, reference: str) -> Item:
        found = database.find(kind, reference)
        if found is None:
            raise PortalRefusal(404, "ResourceNotFound", f"{kind.capitalize()} not exists")
        return found

    def _find_place(
        self, database: ContentDatabase, number: int, where: Sequence[str], *, unrelated: int = 409
    ) -> tuple[int, str, str, str]:
        match where:
            case [("applications" | "processes") as kind, reference]:
                item = self._find(database, _KINDS[kind], reference)
                return number, item.kind, "", item.guid
            case ["workflows", workflow, "associatedFormTypes", reference]:
                above = self._find(database, "workflow", workflow)
                item = self._find(database, "form type", reference)
                if item not in above.inside:
                    code = "ValidationError" if unrelated == 409 else "ResourceNotFound"
                    raise PortalRefusal(unrelated, code, "Form type is not associated with selected workflow")
                return number, item.kind, above.guid, item.guid
        raise PortalRefusal(404, "ResourceNotFound", "Resource not found")

    def _check_rights(self, database: ContentDatabase, place: tuple[int, str, str, str], *, writes: bool) -> None:
        """Refuse an API application whose account is no administrator there, or of the application around it."""
        rights = self._store.knobs.privilege_rights
        if rights == "scope" or (rights == "administrator to write" and not writes):
            return
        around = {
            application.guid
            for application in database.applications
            if any(item.guid == place[3] for item in _list_inside(application))
        }
        own = self._store.key(self._application)
        mine = {given.place[3] for given in self.given if given.key == own and given.level == "Administrator"}
        if not mine & {place[3], *around}:
            raise PortalRefusal(403, "InsufficientAccountPermissions", "Insufficient account permissions")

    def _list_holders(self, place: tuple[int, str, str, str]) -> object:
        shown = self._store.moments.recall(self.given, seconds=self._store.knobs.privileges_shown_after)
        keys = dict.fromkeys(given.key for given in shown if given.place == place)
        found = []
        for key in keys:
            group, account = self._store.groups.get(key), self._store.accounts.get(key)
            if group is not None and not self._store.knobs.privileges_list_groups:
                continue
            bps_id = group.bps_id if group else account.bps_id if account else key
            name = group.name if group else account.values["name"] if account else key
            found.append({"bpsId": bps_id, "name": name})
        return {"privileges": found}

    def _change(
        self, database: ContentDatabase, place: tuple[int, str, str, str], verb: str, body: Mapping[str, object]
    ) -> None:
        store, knobs = self._store, self._store.knobs
        bps_id, level, company = body.get("bpsId"), body.get("level"), body.get("company")
        known = {"bpsId", "level", *(("company",) if place[1] != "application" else ())}
        if body.keys() - known and knobs.unknown_property == "refuse":
            raise PortalRefusal(400, "InvalidBodyParameterValue", f"Unknown property {min(body.keys() - known)}")
        if not isinstance(bps_id, str) or level not in LEVELS[place[1]]:
            raise PortalRefusal(400, "InvalidBodyParameterValue", "Invalid bpsId or level")
        key = store.key(bps_id)
        record = (store.groups.get(key) if knobs.privileges_for_groups else None) or store.accounts.get(key)
        pending = record is not None and knobs.privilege_pending == "refuse" and not store.is_born(record)
        given = Given(place, key, str(level), _read_company(database, company))
        if verb == "remove":
            if given not in self.given and (record is None or knobs.privilege_missing == "conflict"):
                raise PortalRefusal(409, "ValidationError", "Selected bpsId does not exists")
            self._store.moments.put_off(lambda: self._take(given), seconds=knobs.privilege_delay)
            return
        if record is None or pending:
            raise PortalRefusal(409, "ValidationError", "Selected bpsId does not exists")
        there = [each for each in self.given if (each.place, each.key) == (place, key)]
        if there and (knobs.privilege_repeated == "any" or (knobs.privilege_repeated == "conflict" and given in there)):
            raise PortalRefusal(409, "ValidationError", "Privilege already exists")
        self._store.moments.put_off(lambda: self._give(given), seconds=knobs.privilege_delay)

    def _take(self, given: Given) -> None:
        self.given.pop(given, None)

    def _give(self, given: Given) -> None:
        if given.key not in self._store.groups and given.key not in self._store.accounts:
            return  # the record went meanwhile
        if self._store.knobs.privilege_exclusive:
            for other in [each for each in self.given if (each.place, each.key) == (given.place, given.key)]:
                if other != given:
                    del self.given[other]
        self.given.setdefault(given, "rest")


def describe_privileges(store: PortalStore) -> list[dict[str, object]]:
    """Return who may do what where, and whose doing it is."""
    store.moments.catch_up()
    found: list[dict[str, object]] = []
    for given, origin in store.privileges.items():
        number, kind, _, guid = given.place
        names = {item.guid: item.name for each in KINDS for item in store.databases[number].items(each)}
        record = store.groups.get(given.key) or store.accounts.get(given.key)
        found.append(
            {
                "bpsId": record.bps_id if record else given.key,
                "database": number,
                "kind": kind.replace(" ", "_"),
                "place": names[guid],
                "level": given.level,
                "company": names.get(given.company),
                "origin": origin,
            }
        )
    return found


def _read_company(database: ContentDatabase, company: object) -> str:
    """Return the guid of a company; 409 for one that does not exist."""
    if company is None:
        return ""
    named = [company.get(name) for name in ("guid", "id")] if isinstance(company, dict) else []
    found = next((item for name in named if name and (item := database.find("company", str(name)))), None)
    if found is None:
        raise PortalRefusal(409, "ValidationError", "Selected bpsId or company does not exists")
    return found.guid


def _list_inside(item: Item) -> Iterator[Item]:
    yield item
    for each in item.inside:
        yield from _list_inside(each)


def _list(name: str, items: Sequence[Item]) -> object:
    return {name: [_describe(item) for item in items]}


def _describe(item: Item) -> dict[str, object]:
    return {"id": item.number, "guid": item.guid, "name": item.name, "links": []}
