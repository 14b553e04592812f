"""Which command prints which document, and the JSON Schema of each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from syncd.cli.documents import explanation, lists, past, runs, shared

DOCUMENTS: Mapping[str, Any] = {
    "apply": shared.Run,
    "approve": runs.Approved,
    "backup": lists.Backup,
    "certificate": past.Certificate,
    "check": list[lists.Check],
    "drill": past.Drill,
    "drill --list": list[past.Scenario],
    "drift": list[lists.Difference],
    "due": list[lists.Date],
    "explain": explanation.Explanation,
    "explain --at": past.ExplanationAt,
    "groups": list[lists.Record],
    "held": list[lists.Held],
    "licences": list[shared.Licence],
    "licences --as-if": list[lists.LicenceAsIf],
    "link": lists.Linked,
    "migrate": lists.Migration,
    "orphans": list[lists.Orphan],
    "pause": lists.Paused,
    "plan": runs.Plan,
    "privileges": list[lists.Privilege],
    "reject": lists.Rejected,
    "release": lists.Released,
    "replay": past.Replay,
    "resume": list[lists.Resumed],
    "runs": list[shared.Run],
    "runs show": runs.RunShown,
    "sandbox": lists.Sandbox,
    "status": runs.Status,
    "sync": shared.Run,
    "trigger": lists.Trigger,
    "trigger --wait": shared.Run,
    "undo": runs.Undo,
    "verify": past.Verdict,
    "who": past.Who,
    "users": list[lists.Record],
}
"""By the words of the command, with an option where that prints another document."""


def make_schema(command: str) -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) of what a command prints; keys may be added to it in later versions."""
    schema = msgspec.json.schema(DOCUMENTS[command])
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": f"syncd {command} --json",
        **schema,
    }
