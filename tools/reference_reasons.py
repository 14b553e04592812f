"""The sentences that stand beside a person, a group or a change: why it is so, from ``syncd.plan.words``.

What differs from case to case is shown as …. A sentence that only hands on the words of somebody else is none of ours.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from syncd.plan.words import SENTENCES, TIED
from tools.reference_table import escape

_HEAD = ["| reason | cause | what it means |", "|---|---|---|"]


def make_table(kept: Mapping[str, str]) -> list[str]:
    """Return a table of all reasons, in the order in which a run comes to them."""
    lines = list(_HEAD)
    for sentence, cause in list_reasons().items():
        cell = f"`{escape(sentence)}`"
        lines.append(f"| {cell} | `{cause}` | {kept.get(cell, '')} |")
    return lines


def list_reasons() -> dict[str, str]:
    """Return the cause of each sentence."""
    found = {re.sub(r"{\w+}", "…", sentence): str(cause) for cause, sentence in SENTENCES.items()}
    found |= dict.fromkeys(TIED.values(), "tied")
    return {sentence: cause for sentence, cause in found.items() if re.search(r"[^\W\d_]", sentence)}
