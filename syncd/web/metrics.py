"""Prometheus metrics: totals of this process, and gauges about its settings, its store and the newest runs there.

Labels whose values are known begin at 0, so that the first one that is counted is seen as an increase. The client
library is imported with the first scrape, because a daemon that nobody scrapes need not carry it.
"""

from __future__ import annotations

import platform
from collections.abc import Iterable, Mapping
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any, get_args

from syncd.model.change import TRIED, Action, ObjectKind
from syncd.model.durations import BOUNDS, Durations
from syncd.plan.report.status import ObjectStatus
from syncd.web.vitals import PULLS, StoreView, Vitals

if TYPE_CHECKING:
    from prometheus_client.metrics_core import Metric

SIDES = ("graph", "bps")
_STATUSES = ("succeeded", "partial", "held", "failed", "interrupted")
_RECORD: tuple[Action, ...] = ("create", "adopt", "update", "handover", "delete")
_LINK: tuple[Action, ...] = ("link", "unlink")
_RIGHT: tuple[Action, ...] = ("grant", "revoke")
_ACTIONS: Mapping[ObjectKind, tuple[Action, ...]] = {
    "user": _RECORD, "group": _RECORD, "membership": _LINK, "ownership": _LINK, "licence": _RIGHT, "privilege": _RIGHT,
    "substitution": ("create", "update", "delete"),
}  # fmt: skip
"""What is done with each kind of object."""
_CHANNELS = ("webhook", "mail")
_TRAFFIC = {
    "requests": ("requests", "Requests of closed runs."),
    "retries": ("retries", "Requests that were sent again."),
    "throttled": ("throttled", "Answers that asked us to wait."),
    "bytes_received": ("received_bytes", "Bytes of answers, unpacked."),
}

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


def render_metrics(vitals: Vitals, store: StoreView) -> bytes:
    """Return all metrics in Prometheus' text format."""
    from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
    from prometheus_client.registry import Collector

    class Now(Collector):
        def collect(self) -> Iterable[Metric]:
            return [*_make_totals(vitals), *_make_gauges(vitals), *_make_store_gauges(store)]

    registry = CollectorRegistry(auto_describe=False)
    registry.register(Now())
    ProcessCollector(registry=registry)
    return generate_latest(registry)


def _make_totals(vitals: Vitals) -> Iterable[Metric]:
    from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily

    def count(name: str, labels: list[str], numbers: Mapping[Any, float], *, said: str) -> Metric:
        family = CounterMetricFamily(f"syncd_{name}", said, labels=labels)
        for values, number in sorted(numbers.items()):
            family.add_metric(values, number)
        return family

    runs = {(kind, status): 0 for kind in PULLS for status in _STATUSES} | dict(vitals.runs_total)
    yield count("runs", ["kind", "status"], runs, said="Runs of this process.")
    changes = {(action, kind, end): 0 for kind, actions in _ACTIONS.items() for action in actions for end in TRIED}
    said = "Changes of this process that were tried."
    yield count("changes", ["action", "object", "outcome"], changes | dict(vitals.changes_total), said=said)
    for what, (name, said) in _TRAFFIC.items():
        yield count(name, ["side"], {(side,): vitals.traffic_total.get((side, what), 0) for side in SIDES}, said=said)
    messages = {(channel, outcome): 0 for channel in _CHANNELS for outcome in ("sent", "failed")}
    said = "Messages of this process, by what became of them."
    yield count("messages", ["channel", "outcome"], messages | dict(vitals.messages_total), said=said)
    for what, label, said in (
        ("run", "kind", "How long runs of this process took."),
        ("phase", "phase", "How long phases of runs of this process took."),
    ):
        family = HistogramMetricFamily(f"syncd_{what}_duration_seconds", said, labels=[label])
        for (kind, name), durations in sorted(vitals.durations.items()):
            if kind == what:
                family.add_metric([name.replace(" ", "_")], list(_iterate_buckets(durations)), durations.total)
        yield family


def _iterate_buckets(durations: Durations) -> Iterable[tuple[str, float]]:
    reached = 0
    for bound, number in zip((*map(str, BOUNDS), "+Inf"), durations.counts, strict=True):
        reached += number
        yield bound, reached


def _gauge(name: str, said: str, value: float) -> Metric:
    from prometheus_client.core import GaugeMetricFamily

    return GaugeMetricFamily(f"syncd_{name}", said, value=value)


def _gauges(name: str, said: str, *, label: str, values: Mapping[str, float]) -> Metric:
    from prometheus_client.core import GaugeMetricFamily

    family = GaugeMetricFamily(f"syncd_{name}", said, labels=[label])
    for key, value in sorted(values.items()):
        family.add_metric([key], value)
    return family


def _make_gauges(vitals: Vitals) -> Iterable[Metric]:
    from prometheus_client.core import GaugeMetricFamily

    build = GaugeMetricFamily("syncd_build_info", "Version of syncd and of Python.", labels=["version", "python"])
    build.add_metric([_find_version(), platform.python_version()], 1)
    yield build
    yield _gauge("up", "The daemon's loop turns.", 1)
    yield _gauge("standby", "This daemon waits for another one to go.", vitals.role == "standby")
    yield _gauge("run_in_hand", "A run is going on in this process.", vitals.running is not None)
    due = {kind: time.timestamp() for kind, time in vitals.next_times().items()}
    yield _gauges("next_run_timestamp_seconds", "When each kind of run comes next.", label="kind", values=due)
    yield _gauge("config_last_reload_successful", "The settings read last are in force.", not vitals.reload_refused)
    since = vitals.settings_since.timestamp()
    yield _gauge("config_last_reload_success_timestamp_seconds", "Since when the settings are in force.", since)
    ends = {setting: time.timestamp() for setting, time in vitals.credentials.items()}
    yield _gauges(
        "credential_expiry_timestamp_seconds",
        "End of a credential that ends within 30 days, or has ended.",
        label="setting",
        values=ends,
    )


def _find_version() -> str:
    try:
        return version("syncd")
    except PackageNotFoundError:
        return "unknown"


def _make_store_gauges(store: StoreView) -> Iterable[Metric]:
    from prometheus_client.core import GaugeMetricFamily

    yield _gauge("store_usable", "The store answers and has the right schema.", not store.problem)
    if store.problem:
        return
    yield _gauge("stale", "No run went through for too long.", store.stale)
    if store.last_success is not None:
        yield _gauge(
            "last_success_timestamp_seconds", "End of the last run that succeeded.", store.last_success.timestamp()
        )
    if store.last_good is not None:
        said = "End of the last run that went through, whatever it held or could not do."
        yield _gauge("last_completed_timestamp_seconds", said, store.last_good.timestamp())
    closed = {kind: (run.started_at, run.finished_at) for kind, run in store.last.items()}
    began = {str(kind): start.timestamp() for kind, (start, end) in closed.items() if end is not None}
    took = {str(kind): (end - start).total_seconds() for kind, (start, end) in closed.items() if end is not None}
    yield _gauges("last_run_timestamp_seconds", "Start of the last closed run.", label="kind", values=began)
    yield _gauges("last_run_duration_seconds", "Length of the last closed run.", label="kind", values=took)
    yield _gauge("held_changes", "Changes that wait for approval.", store.held.changes if store.held else 0)
    if store.held is not None and store.held.since is not None:
        began_at = store.held.since.timestamp()
        yield _gauge("held_since_timestamp_seconds", "Since when the oldest of what waits is held.", began_at)
    labels = ["action", "object"]
    used = GaugeMetricFamily("syncd_daily_removals", "Removed unasked in the last 24 hours.", labels=labels)
    allowed = GaugeMetricFamily("syncd_daily_removals_allowed", "How much of it a day allows.", labels=labels)
    for each in store.allowances:
        used.add_metric([each.action, each.object], each.used)
        if each.allowed is not None:
            allowed.add_metric([each.action, each.object], each.allowed)
    yield used
    yield allowed
    if store.glance is not None:
        yield _gauge("failing_changes", "Changes that failed and are tried again.", store.glance.failing)
        yield _gauges("licence_seats", "All seats of the portal.", label="type", values=store.glance.seats)
        yield _gauges("licence_seats_free", "Seats that are left.", label="type", values=store.glance.seats_free)
        yield _gauges(
            "licences_waiting", "People who wait for a licence.", label="type", values=store.glance.licences_waiting
        )
    if store.drift is not None:
        said = "Differences that somebody made by hand in the portal, and that are not accepted."
        known = dict.fromkeys(get_args(ObjectKind), 0) | dict(store.drift)
        yield _gauges("drift_differences", said, label="object", values=known)
    for kind, name, what in (("user", "people", "People"), ("group", "groups", "Groups")):
        if (found := store.states.get(kind)) is not None:
            counts = {state: found.get(state, 0) for state in get_args(ObjectStatus)}
            yield _gauges(name, f"{what} of the tenant by their state.", label="state", values=counts)
