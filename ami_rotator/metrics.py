"""Everything that is counted, in one registry of its own. Names are documented in docs/metrics.md."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

_FAST_S = (0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0)


class Metrics:
    """The counters of one daemon."""

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
            buckets=_FAST_S,
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
        self.dialer_up = Gauge("rotator_dialer_up", "1 while the dialer's AMI is up", ["dialer"], registry=registry)
        self.job_runs = Counter("rotator_job_runs", "Runs of maintenance jobs", ["job", "result"], registry=registry)

    def text(self) -> bytes:
        """Return all of them in Prometheus' text format."""
        return generate_latest(self.registry)
