"""What the tables of the reference share."""

from __future__ import annotations


def escape(text: str) -> str:
    """Return the text as the content of one cell."""
    return " ".join(text.split()).replace("|", "\\|")
