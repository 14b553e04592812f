"""The configuration in force, with every secret masked: what ``syncd check`` prints of it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping

from syncd.web.console.view import Page, View


def show(view: View) -> Page:
    """Return the page."""
    sections = []
    for name, keys in view.settings.effective().items():
        if isinstance(keys, Mapping):
            rows = [(key, _spell(value)) for key, value in _flatten(keys)]
        elif isinstance(keys, list):
            rows = [(f"[{number}]", _spell(rule)) for number, rule in enumerate(keys)]
        else:
            rows = []
        sections.append((name, view.settings.source.get(name, ""), rows))
    return view.render(
        "settings.html", title=view.texts("settings.title"), sections=sections, since=view.desk.vitals.settings_since
    )


def _flatten(keys: Mapping[str, object], prefix: str = "") -> Iterator[tuple[str, object]]:
    for name, value in keys.items():
        if isinstance(value, Mapping):
            yield from _flatten(value, f"{prefix}{name}.")
        elif value is not None:
            yield prefix + name, value


def _spell(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)
