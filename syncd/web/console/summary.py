"""What a run planned and did, in one line."""

from __future__ import annotations

from typing import get_args

from syncd.model.change import Action, OutcomeStatus
from syncd.model.run import RunRecord
from syncd.web.console.texts.catalogue import Texts

_COUNTED = (*get_args(Action), *get_args(OutcomeStatus))


def summarize(record: RunRecord, texts: Texts) -> str:
    """Return what a run planned and did."""
    counted = [(name, record.counts[name]) for name in _COUNTED if record.counts.get(name)]
    return ", ".join(f"{texts.count_word(name)} {texts.number(number)}" for name, number in counted)
