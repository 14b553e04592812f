"""Licences on the wire, and as values of the model. Raw JSON goes no further than here.

Enumerations are texts in practice; the API document gives them a numeric format too, so a number is read as the place
in its list, and one beyond that list as the name of a type that the document does not know.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeGuard

from syncd.bps.answers import NAME
from syncd.errors import ProtocolError
from syncd.model.licence import (
    LICENCE_TYPES,
    Licence,
    LicenceHolder,
    LicenceList,
    Seats,
    Settings,
    Step,
    format_process,
    join_processes,
    split_process,
)
from syncd.model.target import fold

_DESIGNER_NAMES: Mapping[str, str] = {
    "project_creation": "allowDesignerDeskProjectCreation",
    "project_publishing": "allowDesignerDeskProjectPublishing",
}


def parse_holders(answer: Any) -> LicenceList:
    """Read the list of everybody who holds a licence; an entry that cannot be read makes it incomplete."""
    entries = _expect_list(answer, "assignedLicenses")
    found: dict[str, LicenceHolder] = {}
    complete = True
    for entry in entries:
        holder = _make_holder(entry)
        if holder is None:
            complete = False
            continue
        there = found.get(fold(holder.bps_id))
        licences = {licence.type: licence for licence in (*(there.licences if there else ()), *holder.licences)}
        found[fold(holder.bps_id)] = LicenceHolder(holder.bps_id, tuple(licences[kind] for kind in sorted(licences)))
    return LicenceList(tuple(found.values()), complete)


def parse_holder(answer: Any) -> LicenceHolder:
    """Read one person's licences; ProtocolError when the answer is none."""
    holder = _make_holder(answer)
    if holder is None:
        raise ProtocolError(f"{NAME} sent malformed licences of a person")
    return holder


def parse_seats(answer: Any) -> tuple[Seats, ...]:
    """Read the summary; a type whose numbers are none, or whose total is negative, counts as not limited."""
    found = []
    for entry in _expect_list(answer, "licenses"):
        if not isinstance(entry, dict):
            continue
        kind, total, assigned = _read_type(entry.get("license")), entry.get("total"), entry.get("assigned")
        if not kind:
            continue
        if _is_number(total) and _is_number(assigned) and total >= 0:
            found.append(Seats(kind, total, assigned))
        else:
            found.append(Seats(kind, None, assigned if _is_number(assigned) else 0))
    return tuple(found)


def encode_steps(steps: Sequence[Step]) -> dict[str, object]:
    """Return the body of one request: the licences of each person together."""
    assign: dict[str, dict[str, Any]] = {}
    remove: dict[str, dict[str, Any]] = {}
    for step in steps:
        side = remove if step.remove else assign
        person = side.setdefault(fold(step.bps_id), {"bpsId": step.bps_id, "licenses": []})
        person["licenses"].append({"type": step.type, **_encode_settings(step)})
    return {"assignLicenses": list(assign.values()), "removeLicenses": list(remove.values())}


def _encode_settings(step: Step) -> dict[str, object]:
    if step.type == "SingleSolutionUser":
        processes = [_encode_process(process) for process in (step.settings.get("processes") or "").split()]
        if step.remove and not processes:
            return {"singleSolutionSettings": {"processes": [], "allProcesses": True}}
        if step.remove:
            return {"singleSolutionSettings": {"processes": processes, "allProcesses": False}}
        return {"singleSolutionSettings": {"processes": processes}} if processes else {}
    if step.type == "DesignerDeskUser" and step.settings and not step.remove:
        values = {wire: step.settings.get(name) == "true" for name, wire in _DESIGNER_NAMES.items()}
        return {"designerDeskSettings": values}
    return {}


def _encode_process(process: str) -> dict[str, object]:
    database, number, guid = split_process(process)
    found: dict[str, object] = {"dbId": database}
    if number is not None:
        found["id"] = number
    if guid is not None:
        found["guid"] = guid
    return found


def _make_holder(entry: Any) -> LicenceHolder | None:
    if not isinstance(entry, dict):
        return None
    bps_id, listed = entry.get("bpsId"), entry.get("licenses")
    if not isinstance(bps_id, str) or not bps_id.strip() or not isinstance(listed, list | None):
        return None
    licences = [_make_licence(licence) for licence in listed or ()]
    if None in licences:
        return None
    return LicenceHolder(bps_id, tuple(licence for licence in licences if licence is not None))


def _make_licence(entry: Any) -> Licence | None:
    kind = _read_type(entry.get("type")) if isinstance(entry, dict) else ""
    if not kind:
        return None
    return Licence(kind, _read_settings(entry))


def _read_settings(entry: Mapping[str, Any]) -> Settings | None:
    designer, single = entry.get("designerDeskSettings"), entry.get("singleSolutionSettings")
    if isinstance(designer, dict):
        return {name: "true" if designer.get(wire) is True else "false" for name, wire in _DESIGNER_NAMES.items()}
    if isinstance(single, dict) and isinstance(single.get("processes"), list):
        return {"processes": join_processes(_read_process(process) for process in single["processes"])}
    return None


def _read_process(entry: Any) -> str:
    values = entry if isinstance(entry, dict) else {}
    database, number, guid = values.get("dbId"), values.get("id"), values.get("guid")
    return format_process(
        database if isinstance(database, int) else 0,
        number if isinstance(number, int) else None,
        guid if isinstance(guid, str) else None,
    )


def _read_type(value: Any) -> str:
    if _is_number(value):
        return LICENCE_TYPES[value] if 0 <= value < len(LICENCE_TYPES) else str(value)
    return value if isinstance(value, str) else ""


def _is_number(value: Any) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool)


def _expect_list(answer: Any, name: str) -> list[Any]:
    found = answer.get(name) if isinstance(answer, dict) else None
    if found is None and isinstance(answer, dict) and name in answer:
        return []
    if not isinstance(found, list):
        raise ProtocolError(f"{NAME} sent no list of {name}")
    return found
