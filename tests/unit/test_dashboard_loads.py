"""Grafana and Prometheus understand the dashboard: its own types know every field, and its queries parse.

Grafana itself cannot be installed from the package registries that the tests use. What it publishes of its model is:
the foundation SDK, generated from the schemas of Grafana. A field that those types do not know would be lost by it.
"""

from __future__ import annotations

import copy
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.optional import import_or_skip
from tools import dashboard

UNKNOWN = "the dashboard was not read by Grafana's types: no grafana-foundation-sdk (make tools)"


def read_by_grafana(board: dict[str, Any]) -> Any:
    """Return the dashboard as Grafana's types write it again after reading it."""
    models = import_or_skip("grafana_foundation_sdk.models.dashboard", reason=UNKNOWN)
    plugins = import_or_skip("grafana_foundation_sdk.cog.plugins", reason=UNKNOWN)
    encoder = import_or_skip("grafana_foundation_sdk.cog.encoder", reason=UNKNOWN)
    plugins.register_default_plugins()
    return json.loads(encoder.JSONEncoder().encode(models.Dashboard.from_json(board)))


def list_lost(said: Any, kept: Any, path: str = "") -> list[str]:
    """Return what is said and was not kept as it was said."""
    if isinstance(said, dict) and isinstance(kept, dict):
        pairs = [(f"{path}.{key}", value, kept.get(key)) for key, value in said.items()]
    elif isinstance(said, list) and isinstance(kept, list) and len(said) == len(kept):
        pairs = [(f"{path}[{number}]", *pair) for number, pair in enumerate(zip(said, kept, strict=True))]
    else:
        return [] if said == kept else [path]
    return [lost for pair in pairs for lost in list_lost(pair[1], pair[2], pair[0])]


def test_grafanas_types_know_every_field_of_the_dashboard() -> None:
    """Of panels, queries, thresholds and variables: what Grafana reads is what we wrote."""
    board = dashboard.make_dashboard()
    assert list_lost(board, read_by_grafana(board)) == []


def test_a_field_that_grafana_does_not_know_is_noticed() -> None:
    """Also deep inside of a panel, where the type depends on the kind of the panel."""
    board = copy.deepcopy(dashboard.make_dashboard())
    board["panels"][0]["options"]["reduceOption"] = board["panels"][0]["options"].pop("reduceOptions")
    board["panels"][0]["targets"][0]["expression"] = "1"
    lost = list_lost(board, read_by_grafana(board))
    assert lost == [".panels[0].options.reduceOption", ".panels[0].targets[0].expression"]


def test_prometheus_can_read_every_query(tmp_path: Path) -> None:
    """A query that does not parse would be a panel with nothing but an error."""
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("the queries of the dashboard were not read: no promtool (Debian's package prometheus)")
    queries = [target["expr"] for panel in dashboard.make_dashboard()["panels"] for target in panel["targets"]]
    rules = [
        {"record": f"panel:{number}", "expr": re.sub(r"\$job\b", ".*", query)} for number, query in enumerate(queries)
    ]
    file = tmp_path / "queries.yaml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": rules}]}), "utf-8")
    read = subprocess.run([promtool, "check", "rules", str(file)], capture_output=True, text=True, check=False)
    assert read.returncode == 0, read.stdout + read.stderr
    assert f"{len(queries)} rules found" in read.stdout
