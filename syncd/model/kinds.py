"""The two kinds of record that both sides have."""

from __future__ import annotations

from typing import Literal

RecordKind = Literal["user", "group"]

RECORD_KINDS: tuple[RecordKind, ...] = ("user", "group")

RulePurpose = Literal["value", "condition"]
"""What a rule's expression is for: the value of a field, or to say yes or no."""
