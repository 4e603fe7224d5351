"""Everything that is counted, in one registry of its own. Names are documented in docs/metrics.md."""

from __future__ import annotations

from functools import lru_cache

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from ami_rotator.domain.types import Outcome, Rung, Source

_FAST_S = (0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0)
# The few milliseconds that a call has are looked at more closely.
_SET_S = tuple(sorted((*_FAST_S, 0.00075, 0.0015, 0.003, 0.004, 0.0075, 0.015, 0.03)))


class Metrics:
    """The counters of one daemon.

    What is counted with every call is found by its labels' values in a cache of ours: `labels` takes ten times as long.
    """

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        self.assignments = Counter(
            "rotator_assignments", "Caller-IDs given to calls", ["source", "rung", "warm"], registry=registry
        )
        self.repeats = Counter(
            "rotator_repeats", "Questions about a call that already had its caller-ID", ["source"], registry=registry
        )
        self.misses = Counter(
            "rotator_misses", "Calls that kept VICIdial's own caller-ID", ["source", "reason"], registry=registry
        )
        self.assign_seconds = Histogram(
            "rotator_assign_seconds",
            "From question to answer of the pool",
            ["source"],
            buckets=_FAST_S,
            registry=registry,
        )
        self.set_seconds = Histogram(
            "rotator_ami_set_seconds",
            "From AMI event to the written Setvar",
            ["dialer"],
            buckets=_SET_S,
            registry=registry,
        )
        self.presented = Counter(
            "rotator_presented",
            "Trunk legs by what they showed: assigned, other_number, unknown",
            ["dialer", "shown"],
            registry=registry,
        )
        self.late = Counter(
            "rotator_late", "Assignments whose trunk leg was there before they were", ["dialer"], registry=registry
        )
        self.released = Counter(
            "rotator_released", "Calls that gave their caller-ID back", ["dialer", "outcome"], registry=registry
        )
        self.expired = Counter("rotator_expired", "Reservations that ended by their lifetime", registry=registry)
        self.anomalies = Counter(
            "rotator_anomalies", "AMI events that make no sense", ["dialer", "reason"], registry=registry
        )
        self.resync = Counter("rotator_resync", "Differences found by a resync", ["dialer", "kind"], registry=registry)
        self.drift = Counter(
            "rotator_drift",
            "Caller-IDs that reconcile found otherwise in Redis than in PostgreSQL: missing, different, surplus",
            ["kind"],
            registry=registry,
        )
        for kind in ("missing", "different", "surplus"):
            self.drift.labels(kind)
        self.http_seconds = Histogram(
            "rotator_http_seconds",
            "From an HTTP request to its answer, for the paths that machines ask",
            ["path", "status"],
            buckets=_FAST_S,
            registry=registry,
        )
        self.job_runs = Counter(
            "rotator_job_runs", "Runs of maintenance jobs, by result: ok, failed", ["job", "result"], registry=registry
        )
        self.job_seconds = Counter("rotator_job_seconds", "Time spent in maintenance jobs", ["job"], registry=registry)
        self.job_last_ok = Gauge(
            "rotator_job_last_ok_timestamp_seconds",
            "When a job last ended well in this daemon",
            ["job"],
            registry=registry,
        )
        self.leader = Gauge(
            "rotator_jobs_leader", "1 while this daemon has the lease of the jobs that run once", registry=registry
        )
        self.outbox_alarm = Gauge(
            "rotator_outbox_alarm",
            "1 while more records wait for PostgreSQL than OUTBOX_ALARM_ENTRIES",
            registry=registry,
        )
        self.outbox_dropped = Counter(
            "rotator_outbox_dropped", "Records that OUTBOX_MAX_ENTRIES left no room for", registry=registry
        )

        self._assigned = lru_cache(maxsize=1000)(self.assignments.labels)
        self._set_seconds = lru_cache(maxsize=1000)(self.set_seconds.labels)
        self._released = lru_cache(maxsize=1000)(self.released.labels)
        self._assign_seconds = lru_cache(maxsize=100)(self.assign_seconds.labels)
        self._http_seconds = lru_cache(maxsize=1000)(self.http_seconds.labels)

    def assigned(self, source: Source, rung: Rung, *, was_warm: bool) -> None:
        """Count a caller-ID that was given to a call."""
        self._assigned(source, rung.value, "1" if was_warm else "0").inc()

    def asked(self, source: Source, took_s: float) -> None:
        """Count a question, and how long its answer took."""
        self._assign_seconds(source).observe(took_s)

    def was_set(self, dialer: str, took_s: float) -> None:
        """Count a Setvar, and how long after its event it was written."""
        self._set_seconds(dialer).observe(took_s)

    def was_released(self, dialer: str, outcome: Outcome) -> None:
        """Count a caller-ID that a call gave back."""
        self._released(dialer, outcome).inc()

    def job_ran(self, job: str, took_s: float, at_ms: int, *, failed: bool) -> None:
        """Count a run of a job."""
        self.job_runs.labels(job, "failed" if failed else "ok").inc()
        self.job_seconds.labels(job).inc(took_s)
        if not failed:
            self.job_last_ok.labels(job).set(at_ms / 1000)

    def http_answered(self, path: str, status: int, took_s: float) -> None:
        """Count an answer to one of the paths that machines ask."""
        self._http_seconds(path, status).observe(took_s)

    def text(self) -> bytes:
        """Return all of them in Prometheus' text format."""
        return generate_latest(self.registry)
