"""A plan as a file: all that applying needs to do exactly that plan, or to see that it must not. Pure: bytes only.

The file is one JSON document, and at the same time a file of lines that is read without ever holding all of it: a head,
the target's records as the plan saw them, the changes, and a checksum over every byte before it. Whoever edits or
reformats it makes another file of it, which is refused.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

import msgspec

from syncd.errors import UnusablePlanFile
from syncd.model.change import Action, Change, ObjectKind, Phase
from syncd.model.kinds import RecordKind
from syncd.model.reason import Cause, Reason
from syncd.plan.diff import Origin

FORMAT = 2
_START = b'{"syncd_plan": '
_HEAD = b'"plan": '
_END = b'"checksum": '

Entry = TypeVar("Entry")
_encode = msgspec.json.Encoder(order="sorted").encode


class Part(msgspec.Struct, frozen=True):
    """A part of the stored directory: how many entries, and a checksum that does not depend on their order."""

    count: int
    checksum: str


class Head(msgspec.Struct, frozen=True):
    """What a plan was made of and for. ``made_at`` is ISO 8601 in UTC, ``rules`` the fingerprint of the rules."""

    portal: str
    run: int
    made_at: str
    rules: str
    directory: dict[str, Part]


class RecordState(msgspec.Struct, frozen=True):
    """A record of the target as the inventory has it; ``fields`` None: there is none with this BPS id."""

    object: RecordKind
    bps_id: str
    ours: Origin | None = None
    fields: dict[str, str | None] | None = None


class FileChange(msgspec.Struct, frozen=True):
    """A change as the file has it: the source object by its own id, and ``held`` with the reason where it is withheld.

    ``member``: the target is a record, and not a word such as the type of a licence.
    """

    phase: str
    action: Action
    object: ObjectKind
    bps_id: str
    target: str
    member: bool
    source_id: str | None
    before: dict[str, str | None]
    after: dict[str, str | None]
    cause: str
    reason: str
    held_cause: str
    held: str

    def make_change(self, source_key: int | None) -> Change:
        """Return the change; UnusablePlanFile for a phase that this program does not have."""
        if self.phase not in Phase.__members__:
            raise UnusablePlanFile(f"it has changes of an unknown phase {self.phase}: it is another syncd's")
        return Change(
            phase=Phase[self.phase],
            action=self.action,
            object=self.object,
            bps_id=self.bps_id,
            target=self.target,
            source_key=source_key,
            before=self.before,
            after=self.after,
            reason=Reason(_find_cause(self.cause), self.reason),
            held=Reason(_find_cause(self.held_cause), self.held),
        )


class PlanFile(msgspec.Struct, frozen=True):
    """A checked plan file. ``lines`` opens it anew for each reading; ``checksum`` names it."""

    head: Head
    checksum: str
    lines: Callable[[], Iterable[bytes]]

    def iterate_records(self) -> Iterator[RecordState]:
        """Yield the target's records that the plan writes to, as it saw them."""
        return _iterate_array(self.lines(), "records", RecordState)

    def iterate_changes(self) -> Iterator[FileChange]:
        """Yield the changes in the plan's order."""
        return _iterate_array(self.lines(), "changes", FileChange)


def encode_plan(head: Head, records: Iterable[RecordState], changes: Iterable[FileChange]) -> Iterator[bytes]:
    """Yield the lines of a plan file."""
    digest = hashlib.sha256()
    for line in _encode_lines(head, records, changes):
        digest.update(line)
        yield line
    yield _END + _encode(digest.hexdigest()) + b"}\n"


def _encode_lines(head: Head, records: Iterable[RecordState], changes: Iterable[FileChange]) -> Iterator[bytes]:
    yield _START + f"{FORMAT},\n".encode()
    yield _HEAD + _encode(head) + b",\n"
    yield from _encode_array("records", records)
    yield from _encode_array("changes", changes)


def _encode_array(name: str, entries: Iterable[object]) -> Iterator[bytes]:
    yield f'"{name}": [\n'.encode()
    waiting: bytes | None = None  # a comma goes behind every entry but the last
    for entry in entries:
        if waiting is not None:
            yield waiting + b",\n"
        waiting = _encode(entry)
    if waiting is not None:
        yield waiting + b"\n"
    yield b"],\n"


def open_plan(lines: Callable[[], Iterable[bytes]]) -> PlanFile:
    """Check a plan file from end to end and return it; UnusablePlanFile says what is wrong with it."""
    digest = hashlib.sha256()
    head: Head | None = None
    said = ""
    for number, line in enumerate(lines()):
        if number == 0:
            _check_format(line)
        elif said:
            raise UnusablePlanFile("there is something behind its end: it is damaged, or was edited")
        if line.startswith(_END):
            said = line.removeprefix(_END).strip().removesuffix(b"}").strip(b'"').decode("ascii", "replace")
            continue
        digest.update(line)
        if number == 1 and line.startswith(_HEAD):
            head = _decode(line.removeprefix(_HEAD), Head)
    if head is None or not said:
        raise UnusablePlanFile("its end is missing: it was cut short; make the plan again")
    if digest.hexdigest() != said:
        raise UnusablePlanFile("its checksum is wrong: it is damaged, or was edited; make the plan again")
    return PlanFile(head, said, lines)


def _find_cause(cause: str) -> Cause:
    """Return the cause of that name; UnusablePlanFile for one that this program does not have."""
    try:
        return Cause(cause)
    except ValueError:
        raise UnusablePlanFile(f"it has changes of an unknown cause {cause}: it is another syncd's") from None


def _check_format(line: bytes) -> None:
    number = line.removeprefix(_START).strip().removesuffix(b",")
    if not line.startswith(_START) or not number.isdigit():
        raise UnusablePlanFile("it is no plan of syncd: 'syncd plan --out FILE' writes one")
    if int(number) < FORMAT:
        raise UnusablePlanFile(
            f"it was written by an older syncd (format {int(number)}, this one reads {FORMAT}): make the plan again"
        )
    if int(number) > FORMAT:
        raise UnusablePlanFile(
            f"it was written by a newer syncd (format {int(number)}, this one reads {FORMAT}): make the plan again"
        )


def _iterate_array(lines: Iterable[bytes], name: str, entry: type[Entry]) -> Iterator[Entry]:
    start = f'"{name}": ['.encode()
    inside = False
    for line in lines:
        if inside and line.startswith(b"]"):
            return
        if inside:
            yield _decode(line, entry)
        inside = inside or line.startswith(start)


def _decode(line: bytes, shape: type[Entry]) -> Entry:
    try:
        return msgspec.json.decode(line.strip().removesuffix(b","), type=shape)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise UnusablePlanFile(f"an entry cannot be understood ({error}): it is damaged, or another syncd's") from error
