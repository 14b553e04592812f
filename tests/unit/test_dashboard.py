"""The Grafana dashboard: as the program makes it, with metrics and labels that exist, and with room for each panel."""

from __future__ import annotations

import itertools
import json
import re
from typing import Any, get_args

import pytest
import yaml

from syncd.model.run import RunStatus
from tests.unit import pages
from tools import dashboard
from tools.reference_web import list_metrics

BOARD: dict[str, Any] = json.loads(dashboard.FILES[0].read_text("utf-8"))
QUERIES = [target["expr"] for panel in BOARD["panels"] for target in panel["targets"]]
LABELS = {name: {*re.findall(r"`(\w+)`", labels), "job", "instance"} for name, _, labels in list_metrics()}


@pytest.mark.parametrize("file", dashboard.FILES, ids=lambda file: str(file.parent.name))
def test_the_file_is_as_the_program_makes_it(file: Any) -> None:
    """Also the chart's copy; where it differs, run make reference."""
    assert file.read_text("utf-8") == dashboard.encode_dashboard()


@pytest.mark.parametrize("query", QUERIES)
def test_a_panel_asks_for_a_metric_that_exists_and_by_labels_that_it_has(query: str) -> None:
    """A metric that is renamed would leave a panel without data."""
    asked = {name.removesuffix("_bucket") for name in re.findall(r"\bsyncd_\w+", query)}
    assert asked <= LABELS.keys()
    assert asked or "process_resident_memory_bytes" in query
    grouped = set(itertools.chain.from_iterable(found.split(", ") for found in re.findall(r"by \(([\w, ]+)\)", query)))
    for name in asked:
        assert grouped - {"le"} <= LABELS[name]
    assert query.count('{job=~"$job"}') == len(re.findall(r"\b(?:syncd|process)_\w+", query))


def test_every_gauge_of_what_waits_for_a_person_has_a_panel() -> None:
    """What somebody should see who looks once a day."""
    shown = set(re.findall(r"\bsyncd_\w+", " ".join(QUERIES)))
    wanted = {"held_changes", "failing_changes", "licences_waiting", "credential_expiry_timestamp_seconds", "people"}
    assert {f"syncd_{name}" for name in wanted} <= shown


def test_the_version_is_shown_and_not_how_often_it_runs() -> None:
    """Its series counts processes: what it is about is the label."""
    (version,) = (panel for panel in BOARD["panels"] if panel["title"] == "Version")
    assert version["options"]["textMode"] == "name"
    assert version["targets"][0]["legendFormat"] == "{{version}}"


def test_known_zeros_do_not_fill_a_legend() -> None:
    """Kinds of changes times outcomes are more than a hundred series, and most of them stay at 0."""
    (query,) = (query for query in QUERIES if "by (action, object, outcome)" in query)
    assert query.endswith("> 0")


def test_every_outcome_of_a_run_has_a_colour_of_its_own() -> None:
    """By chance of the palette a run that succeeded was red."""
    (panel,) = (panel for panel in BOARD["panels"] if panel["title"] == "Runs by status")
    fixed = {
        each["matcher"]["options"]: each["properties"][0]["value"]["fixedColor"]
        for each in panel["fieldConfig"]["overrides"]
    }
    assert fixed.keys() == set(get_args(RunStatus)) - {"running"}
    assert len(set(fixed.values())) == len(fixed)


def test_panels_have_names_and_places_of_their_own() -> None:
    """No two share an id, a title or a cell, and none leaves the grid."""
    panels = BOARD["panels"]
    assert len({panel["id"] for panel in panels}) == len({panel["title"] for panel in panels}) == len(panels)
    cells: list[tuple[int, int]] = []
    for panel in panels:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        cells += itertools.product(
            range(place["x"], place["x"] + place["w"]), range(place["y"], place["y"] + place["h"])
        )
    assert len(cells) == len(set(cells))


def test_the_data_source_is_a_variable() -> None:
    """Of every panel and query, and that of the job too: nothing names a server."""
    assert [variable["name"] for variable in BOARD["templating"]["list"]] == ["datasource", "job"]
    sources = [each["datasource"]["uid"] for panel in BOARD["panels"] for each in (panel, *panel["targets"])]
    assert {*sources, BOARD["templating"]["list"][1]["datasource"]["uid"]} == {"${datasource}"}


def test_a_panel_names_alerts_that_exist() -> None:
    """Whoever sees something red finds the page of the alert."""
    rules = yaml.safe_load((pages.ROOT / "deploy/prometheus/alerts.yaml").read_text("utf-8"))["groups"][0]["rules"]
    named = set(re.findall(r"\bSyncd\w+", " ".join(panel["description"] for panel in BOARD["panels"])))
    assert named
    assert named <= {rule["alert"] for rule in rules}
