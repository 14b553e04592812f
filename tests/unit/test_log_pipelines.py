"""deploy/logs: the examples for Loki, Elastic and journald name fields and events that syncd logs.

Alloy and Filebeat are not to be had from the package registries that the tests use: nothing of theirs reads the files.
"""

from __future__ import annotations

import re
from typing import Any

import pytest
import yaml

from tests.unit import pages
from tools import reference_logs

FOLDER = pages.ROOT / "deploy/logs"
PAGE = pages.DOCS / "how-to/logs.md"
OF_EVERY_LINE = frozenset({"time", "level", "event", "logger", "run"})


@pytest.fixture(scope="module")
def fields() -> frozenset[str]:
    """What a line can have."""
    return OF_EVERY_LINE.union(*(event.fields for event in reference_logs.list_events().values()))


def test_alloy_takes_fields_that_there_are_and_labels_what_it_took(fields: frozenset[str]) -> None:
    """What it takes out of a line is what it uses: as a time, a label, or beside the line."""
    text = (FOLDER / "loki.alloy").read_text("utf-8")
    taken = re.findall(r'^ +(\w+) += "(\w+)",$', text.partition("expressions = {")[2].partition("}")[0], re.MULTILINE)
    assert {name for name, _ in taken} == {path for _, path in taken} <= fields
    used = set(re.findall(r'source = "(\w+)"', text))
    for block in ("labels", "structured_metadata"):
        used |= set(re.findall(r'(\w+) = ""', re.findall(rf"stage\.{block} {{\s+values = {{(.+?)}}", text)[0]))
    assert used == {name for name, _ in taken}
    assert text.count("{") == text.count("}")
    for sent in re.findall(r"forward_to *= \[([\w.]+)\.receiver\]", text):
        kind, _, name = sent.rpartition(".")
        assert f'{kind} "{name}" {{' in text


def test_filebeat_takes_fields_that_there_are(fields: frozenset[str]) -> None:
    """The file is YAML; each field below syncd is one of a line."""
    document: dict[str, Any] = yaml.safe_load((FOLDER / "filebeat.yml").read_text("utf-8"))
    (source,) = document["filebeat.inputs"]
    named = set(re.findall(r"\bsyncd\.([a-z_]+)\b", yaml.safe_dump(source["processors"])))
    assert {"time", "level", "logger", "event"} == named <= fields


def test_the_page_asks_for_fields_and_events_that_there_are(fields: frozenset[str]) -> None:
    """In LogQL, KQL and jq."""
    text = PAGE.read_text("utf-8")
    assert set(re.findall(r"\bsyncd\.(\w+):", text)) | set(re.findall(r"select\(\.(\w+)", text)) <= fields
    asked = set(re.findall(r'(?:event=|event\.action: |\.event == )"([a-z._]+)"', text))
    assert asked
    assert asked <= reference_logs.list_events().keys()
    known = {"job", *re.findall(r'(\w+) = ""', (FOLDER / "loki.alloy").read_text("utf-8"))}
    assert set(re.findall(r"[{,|] ?(\w+)=~?\"", text)) <= known


@pytest.mark.parametrize("file", ["journald@syncd.conf", "syncd-journal.conf"])
def test_a_file_for_systemd_says_where_it_belongs(file: str) -> None:
    """Its place in the head is the one to which the page copies it."""
    head = (FOLDER / file).read_text("utf-8").partition("\n[")[0]
    (place,) = re.findall(r"/etc/systemd/[\w./@-]+(?:conf)", head)
    assert re.search(rf"deploy/logs/{re.escape(file)} {re.escape(place)}$", PAGE.read_text("utf-8"), re.MULTILINE)


def test_every_example_has_its_page() -> None:
    """Nothing lies in the folder that the page does not name."""
    text = PAGE.read_text("utf-8")
    assert [file.name for file in FOLDER.iterdir() if f"deploy/logs/{file.name}" not in text] == []
