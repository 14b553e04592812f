"""What no single key of a list of rules can tell: which keys of an entry belong together, and entries twice.

What else an entry names wrongly only the two sides know; `salvage_privileges` returns what can be asked of them.
"""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import ValidationError

from syncd.config.problem import Problem
from syncd.config.sections import PrivilegeSetting
from syncd.model.privilege import LEVELS

_PLACES = tuple(LEVELS)
_CHOICE = "name one: application, process, or form_type with its workflow"


def check_privileges(raw: object, *, origin: str = "") -> list[Problem]:
    """Return what is wrong with the entries of ``[[privileges]]`` as wholes; what is wrong with a key is told there."""
    if not isinstance(raw, list | tuple):
        return []
    found = list[Problem]()
    seen = dict[tuple[tuple[str, str], ...], int]()
    for number, entry in enumerate(raw):
        if not isinstance(entry, dict):
            continue
        key = f"privileges[{number}]"
        found += [
            Problem(f"{key}{name}", what, remedy=remedy, origin=origin) for name, what, remedy in _check_entry(entry)
        ]
        whole = tuple(sorted((name, str(value).strip().casefold()) for name, value in entry.items()))
        first = seen.setdefault(whole, number)
        if first != number:
            found.append(Problem(key, f"says the same as privileges[{first}]", remedy="remove it", origin=origin))
    return found


def salvage_privileges(raw: object) -> dict[int, PrivilegeSetting]:
    """Return, by number, the entries that name one place, with a level that there is in place of theirs.

    For looking up what they name beside a level that is wrong; they never are rules.
    """
    found: dict[int, PrivilegeSetting] = {}
    for number, entry in enumerate(raw if isinstance(raw, list | tuple) else ()):
        if not isinstance(entry, dict):
            continue
        broken = [name for name, _, _ in _check_entry(entry)]
        if "" in broken or ".workflow" in broken:
            continue
        kept = {name: value for name, value in entry.items() if name in PrivilegeSetting.model_fields}
        if ".company" in broken:
            del kept["company"]
        try:
            found[number] = PrivilegeSetting.model_validate({**kept, "level": "ReadOnly"})
        except ValidationError:
            continue  # its group, its database or its place is no name at all, which is told as such
    return found


def _check_entry(entry: dict[str, object]) -> Iterator[tuple[str, str, str]]:
    given = [name for name in _PLACES if name in entry]
    if not given:
        yield "", "names no place", _CHOICE
    elif len(given) > 1:
        yield "", f"names several places: {', '.join(given)}", "keep one of them, and write a rule for each other"
    if "workflow" in entry and "form_type" not in entry:
        yield ".workflow", "has no form type", "add form_type, or remove it"
    if "form_type" in entry and "workflow" not in entry:
        yield ".workflow", "is missing", "name the workflow that the form type is used in"
    if "company" in entry and given == ["application"]:
        yield ".company", "belongs to rules for processes and form types only", "remove it"
