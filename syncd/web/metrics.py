"""Prometheus metrics: totals of this process, and gauges about the newest runs of the store.

The client library is imported with the first scrape, because a daemon that nobody scrapes need not carry it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from syncd.web.vitals import StoreView, Vitals

if TYPE_CHECKING:
    from prometheus_client.metrics_core import Metric

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


def render_metrics(vitals: Vitals, store: StoreView) -> bytes:
    """Return all metrics in Prometheus' text format."""
    from prometheus_client import CollectorRegistry, generate_latest
    from prometheus_client.registry import Collector

    class Now(Collector):
        def collect(self) -> Iterable[Metric]:
            return [*_make_totals(vitals), *_make_gauges(vitals, store)]

    registry = CollectorRegistry(auto_describe=False)
    registry.register(Now())
    return generate_latest(registry)


def _make_totals(vitals: Vitals) -> Iterable[Metric]:
    from prometheus_client.core import CounterMetricFamily

    runs = CounterMetricFamily("syncd_runs", "Runs of this process.", labels=["kind", "status"])
    for labels, number in sorted(vitals.runs_total.items()):
        runs.add_metric(labels, number)
    changes = CounterMetricFamily("syncd_changes", "Changes of this process.", labels=["action", "outcome"])
    for labels, number in sorted(vitals.changes_total.items()):
        changes.add_metric(labels, number)
    requests = CounterMetricFamily("syncd_requests", "Requests of closed runs.", labels=["side"])
    throttled = CounterMetricFamily("syncd_throttled", "Answers that asked us to wait.", labels=["side"])
    for (side, what), number in sorted(vitals.traffic_total.items()):
        (requests if what == "requests" else throttled).add_metric([side], number)
    return runs, changes, requests, throttled


def _make_gauges(vitals: Vitals, store: StoreView) -> Iterable[Metric]:
    from prometheus_client.core import GaugeMetricFamily

    def gauge(name: str, said: str, value: float) -> Metric:
        return GaugeMetricFamily(f"syncd_{name}", said, value=value)

    yield gauge("up", "The daemon's loop turns.", 1)
    yield gauge("standby", "This daemon waits for another one to go.", vitals.role == "standby")
    yield gauge("store_usable", "The store answers and has the right schema.", not store.problem)
    yield gauge("run_in_hand", "A run is going on in this process.", vitals.running is not None)
    if store.problem:
        return
    yield gauge("stale", "No run went through for too long.", store.stale)
    if store.last_good is not None:
        yield gauge("last_success_timestamp_seconds", "End of the last good run.", store.last_good.timestamp())
    began = GaugeMetricFamily("syncd_last_run_timestamp_seconds", "Start of the last closed run.", labels=["kind"])
    took = GaugeMetricFamily("syncd_last_run_duration_seconds", "Length of the last closed run.", labels=["kind"])
    for kind, last in sorted(store.last.items()):
        if last.finished_at is not None:
            began.add_metric([kind], last.started_at.timestamp())
            took.add_metric([kind], (last.finished_at - last.started_at).total_seconds())
    yield began
    yield took
    held, _ = store.count_held()
    yield gauge("held_changes", "Changes that the last run withheld.", held)
    if store.held_since is not None:
        began_at = store.held_since.timestamp()
        yield gauge("held_since_timestamp_seconds", "Since when the oldest of what waits is held.", began_at)
    labels = ["action", "object"]
    used = GaugeMetricFamily("syncd_daily_removals", "Removed unasked in the last 24 hours.", labels=labels)
    allowed = GaugeMetricFamily("syncd_daily_removals_allowed", "How much of it a day allows.", labels=labels)
    for each in store.allowances:
        used.add_metric([each.action, each.object], each.used)
        if each.allowed is not None:
            allowed.add_metric([each.action, each.object], each.allowed)
    yield used
    yield allowed
