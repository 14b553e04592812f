"""``make reference`` also writes the Grafana dashboard: which panels there are stands here, and nowhere else.

The board is made for Grafana 10 and newer. It asks for its data source and for the job, so that it works unchanged
where several Prometheus servers or several syncd are.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

ROOT = Path(__file__).resolve().parents[1]
FILES = (ROOT / "deploy/grafana/syncd.json", ROOT / "deploy/helm/syncd/files/dashboard.json")
"""The second one is a copy, since a chart reads no file outside of its folder."""
_COLUMNS = 24
_SOURCE = {"type": "prometheus", "uid": "${datasource}"}
_JOB = 'job=~"$job"'


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """One panel. ``queries``: PromQL with $of for the chosen job, and the legend of each.

    ``red_from`` and ``red_below``: thresholds. ``shows``: of a stat, the value or the legend. ``colours``: of legends
    that mean something good or bad.
    """

    title: str
    says: str
    queries: tuple[tuple[str, str], ...]
    kind: Literal["stat", "timeseries"] = "timeseries"
    unit: str = "short"
    width: int = 8
    height: int = 7
    red_from: float | None = None
    red_below: float | None = None
    shows: Literal["auto", "name"] = "auto"
    colours: tuple[tuple[str, str], ...] = ()
    stacked: bool = False


PANELS = (
    Panel(
        title="Since the last success",
        says="Red: longer than four hours. See the alert SyncdStale.",
        kind="stat",
        queries=(("time() - max(syncd_last_success_timestamp_seconds{$of})", ""),),
        unit="s",
        width=4,
        height=4,
        red_from=14_400,
    ),
    Panel(
        title="Held changes",
        says="Wait until a person decides: syncd held. See the alert SyncdHeld.",
        kind="stat",
        queries=(("max(syncd_held_changes{$of})", ""),),
        width=4,
        height=4,
        red_from=1,
    ),
    Panel(
        title="Failing changes",
        says="Are tried again. See the alert SyncdChangesFail.",
        kind="stat",
        queries=(("max(syncd_failing_changes{$of})", ""),),
        width=4,
        height=4,
        red_from=1,
    ),
    Panel(
        title="Next run in",
        says="By kind.",
        kind="stat",
        queries=(("min by (kind) (syncd_next_run_timestamp_seconds{$of}) - time()", "{{kind}}"),),
        unit="s",
        width=4,
        height=4,
    ),
    Panel(
        title="At work and standing by",
        says="See the alerts SyncdNobodyWorks and SyncdStandbyLost.",
        kind="stat",
        queries=(("sum(syncd_up{$of}) - sum(syncd_standby{$of})", "at work"), ("sum(syncd_standby{$of})", "standby")),
        width=4,
        height=4,
    ),
    Panel(
        title="Version",
        says="Which versions run.",
        kind="stat",
        queries=(("count by (version) (syncd_build_info{$of})", "{{version}}"),),
        shows="name",
        width=4,
        height=4,
    ),
    Panel(
        title="Runs by status",
        says="Of the last hour. See the alert SyncdRunsFail.",
        stacked=True,
        queries=(("sum by (status) (increase(syncd_runs_total{$of}[1h]))", "{{status}}"),),
        colours=(
            ("succeeded", "green"),
            ("partial", "yellow"),
            ("held", "orange"),
            ("failed", "red"),
            ("interrupted", "purple"),
        ),
    ),
    Panel(
        title="Changes by outcome",
        says="Of the last hour. Kinds of which there were none are left out.",
        stacked=True,
        queries=(
            (
                "sum by (action, object, outcome) (increase(syncd_changes_total{$of}[1h])) > 0",
                "{{action}} {{object}} {{outcome}}",
            ),
        ),
    ),
    Panel(
        title="Used of the daily allowance",
        says="Removals of 24 hours without an approval, as a share of "
        "what a day allows. See the alert SyncdRemovalsNearLimit.",
        unit="percentunit",
        red_from=0.8,
        queries=(
            (
                (
                    "max by (action, object) (syncd_daily_removals{$of}) / max by (action, object) "
                    "(syncd_daily_removals_allowed{$of})"
                ),
                "{{action}} {{object}}",
            ),
        ),
    ),
    Panel(
        title="People by state",
        says="Counted every few minutes. 'syncd users --state STATE' lists them.",
        stacked=True,
        queries=(("max by (state) (syncd_people{$of})", "{{state}}"),),
    ),
    Panel(
        title="Groups by state",
        says="Counted every few minutes. 'syncd groups --state STATE' lists them.",
        stacked=True,
        queries=(("max by (state) (syncd_groups{$of})", "{{state}}"),),
    ),
    Panel(
        title="Seats",
        says="All, free, and people who wait for one, by type. See the alert SyncdLicencesShort.",
        queries=(
            ("max by (type) (syncd_licence_seats{$of}) > 0", "{{type}}"),
            (
                (
                    "min by (type) (syncd_licence_seats_free{$of}) and on (type) "
                    "max by (type) (syncd_licence_seats{$of}) > 0"
                ),
                "{{type}} free",
            ),
            ("max by (type) (syncd_licences_waiting{$of}) > 0", "{{type}} waiting"),
        ),
    ),
    Panel(
        title="Changed by hand",
        says="Known differences in the portal, by kind of object. 'syncd drift' lists them.",
        queries=(("max by (object) (syncd_drift_differences{$of})", "{{object}}"),),
    ),
    Panel(
        title="Requests",
        says="Per second, and those that were sent again.",
        unit="reqps",
        queries=(
            ("sum by (side) (rate(syncd_requests_total{$of}[15m]))", "{{side}}"),
            ("sum by (side) (rate(syncd_retries_total{$of}[15m]))", "{{side}} again"),
        ),
    ),
    Panel(
        title="Throttling",
        says="Share of the requests that were told to wait. See the alert SyncdThrottled.",
        unit="percentunit",
        red_from=0.2,
        queries=(
            (
                (
                    "sum by (side) (increase(syncd_throttled_total{$of}[1h])) / sum by (side) "
                    "(increase(syncd_requests_total{$of}[1h]))"
                ),
                "{{side}}",
            ),
        ),
    ),
    Panel(
        title="Received",
        says="Bytes of answers per second, unpacked.",
        unit="Bps",
        queries=(("sum by (side) (rate(syncd_received_bytes_total{$of}[15m]))", "{{side}}"),),
    ),
    Panel(
        title="Phases",
        says="Nineteen of twenty took at most so long, in the last six hours.",
        unit="s",
        queries=(
            (
                "histogram_quantile(0.95, sum by (phase, le) (rate(syncd_phase_duration_seconds_bucket{$of}[6h])))",
                "{{phase}}",
            ),
        ),
    ),
    Panel(
        title="Runs",
        says="Nineteen of twenty took at most so long, in the last six hours.",
        unit="s",
        queries=(
            (
                "histogram_quantile(0.95, sum by (kind, le) (rate(syncd_run_duration_seconds_bucket{$of}[6h])))",
                "{{kind}}",
            ),
        ),
    ),
    Panel(
        title="Memory",
        says="Of each process.",
        unit="bytes",
        queries=(("process_resident_memory_bytes{$of}", "{{instance}}"),),
    ),
    Panel(
        title="Credentials end in",
        says="Those that end within 30 days. See the alert SyncdCredentialEnds.",
        kind="stat",
        unit="s",
        red_below=14 * 86_400,
        queries=(("min by (setting) (syncd_credential_expiry_timestamp_seconds{$of}) - time()", "{{setting}}"),),
    ),
    Panel(
        title="Settings in force since",
        says="Zero in the second: a reload was refused. See the alert SyncdConfigurationRefused.",
        kind="stat",
        unit="s",
        queries=(("time() - min(syncd_config_last_reload_success_timestamp_seconds{$of})", "since"),),
    ),
    Panel(
        title="Store usable",
        says="Zero: see the alert SyncdStoreTrouble.",
        queries=(("min by (instance) (syncd_store_usable{$of})", "{{instance}}"),),
    ),
)


def make_dashboard() -> dict[str, Any]:
    """Return the dashboard as Grafana imports it."""
    made, left, top, row = [], 0, 0, 0
    for number, panel in enumerate(PANELS, start=1):
        if left + panel.width > _COLUMNS:
            left, top, row = 0, top + row, 0
        made.append(_make_panel(panel, number, {"x": left, "y": top, "w": panel.width, "h": panel.height}))
        left, row = left + panel.width, max(row, panel.height)
    return {
        "uid": "syncd",
        "title": "syncd",
        "tags": ["syncd"],
        "description": "Runs, what waits for a person, people and seats, and how both sides answer.",
        "schemaVersion": 39,
        "version": 1,
        "editable": True,
        "refresh": "1m",
        "time": {"from": "now-24h", "to": "now"},
        "timezone": "browser",
        "templating": {"list": [_make_source_variable(), _make_job_variable()]},
        "annotations": {"list": []},
        "links": [],
        "panels": made,
    }


def encode_dashboard() -> str:
    """Return the text of the file."""
    return json.dumps(make_dashboard(), indent=2, ensure_ascii=False) + "\n"


def _make_panel(panel: Panel, number: int, place: dict[str, int]) -> dict[str, Any]:
    steps: list[dict[str, Any]] = [{"color": "green", "value": None}]
    if panel.red_from is not None:
        steps.append({"color": "red", "value": panel.red_from})
    if panel.red_below is not None:
        steps = [{"color": "red", "value": None}, {"color": "green", "value": panel.red_below}]
    custom: dict[str, Any] = {"stacking": {"mode": "normal" if panel.stacked else "none"}, "fillOpacity": 10}
    if panel.unit == "percentunit":
        custom["axisSoftMax"] = 1  # without any share the axis would reach to a hundredfold
    defaults = {"unit": panel.unit, "min": 0, "thresholds": {"mode": "absolute", "steps": steps}}
    return {
        "id": number,
        "type": panel.kind,
        "title": panel.title,
        "description": panel.says,
        "datasource": _SOURCE,
        "gridPos": place,
        "fieldConfig": {
            "defaults": {**defaults, **({"custom": custom} if panel.kind == "timeseries" else {})},
            "overrides": [_make_colour(*pair) for pair in panel.colours],
        },
        "options": {"reduceOptions": {"calcs": ["lastNotNull"]}, "textMode": panel.shows}
        if panel.kind == "stat"
        else {},
        "targets": [
            {
                "refId": letter,
                "datasource": _SOURCE,
                "expr": query.replace("$of", _JOB),
                "legendFormat": legend,
            }
            for letter, (query, legend) in zip("ABC", panel.queries, strict=False)
        ],
    }


def _make_colour(legend: str, colour: str) -> dict[str, Any]:
    return {
        "matcher": {"id": "byName", "options": legend},
        "properties": [{"id": "color", "value": {"mode": "fixed", "fixedColor": colour}}],
    }


def _make_source_variable() -> dict[str, Any]:
    return {"name": "datasource", "label": "Data source", "type": "datasource", "query": "prometheus"}


def _make_job_variable() -> dict[str, Any]:
    return {
        "name": "job",
        "label": "Job",
        "type": "query",
        "datasource": _SOURCE,
        "query": {"query": "label_values(syncd_up, job)", "refId": "jobs"},
        "refresh": 2,
        "includeAll": True,
        "multi": True,
        "current": {"text": "All", "value": "$__all"},
    }
