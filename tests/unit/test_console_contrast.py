"""The colours of the console can be read, in light and in dark (WCAG 2, level AA)."""

from __future__ import annotations

import re

import pytest

from syncd.web.console.view import FOLDER

TEXTS = (
    ("ink", "ground"), ("ink", "paper"), ("ink", "none"), ("quiet", "ground"), ("quiet", "paper"), ("quiet", "soft"),
    ("link", "ground"), ("link", "paper"), ("link", "soft"), ("on-accent", "accent"), ("on-accent", "hover"),
    ("on-accent", "danger"), ("good", "good-soft"), ("warn", "warn-soft"), ("bad", "bad-soft"), ("good", "paper"),
    ("bad", "paper"),
)  # fmt: skip
"""Text before its ground."""
SHAPES = (("accent", "ground"), ("accent", "paper"), ("quiet", "paper"))
"""What shows where the keyboard is, and the frames of fields."""


def read_colours(scheme: str) -> dict[str, str]:
    """Return the colours of a scheme by name; the dark one has those of the light one that it does not name."""
    text = (FOLDER / "static/console.css").read_text(encoding="utf-8")
    light, dark = re.findall(r":root \{(.*?)\}", text, re.DOTALL)
    found = dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{6})", light))
    return found if scheme == "light" else found | dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{6})", dark))


def find_luminance(colour: str) -> float:
    """Return the relative luminance of a colour, as WCAG 2 defines it."""
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_texts_and_frames_stand_out_from_their_ground(scheme: str) -> None:
    """4.5 to 1 for texts, 3 to 1 for what has a shape."""
    colours = read_colours(scheme)
    for pairs, least in ((TEXTS, 4.5), (SHAPES, 3.0)):
        for front, back in pairs:
            low, high = sorted(find_luminance(colours[name]) for name in (front, back))
            assert (high + 0.05) / (low + 0.05) >= least, f"{front} on {back}"
