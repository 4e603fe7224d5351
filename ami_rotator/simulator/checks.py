"""Watch what a caller-ID daemon does to the calls: which number each presents, and which rules are broken."""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass

from ami_rotator.clock import Clock
from ami_rotator.simulator.options import SimulatorOptions
from ami_rotator.simulator.placed import CallRecord, Ending, PlacedCall, Way

_DELAYS_KEPT = 100_000


@dataclass(frozen=True, slots=True)
class SimulatorReport:
    """What happened until now.

    `by_way` and `presented` count calls at their first trunk leg; `by_outcome` counts them at their end. `duplicates`: a
    number began to be presented while another live call presented it. `name_changes`: a Setvar touched the caller-ID
    name. `late_setvars` crossed the trunk's first event on the wire; `setvars_after_trunk` came later than that. `guarded`:
    the hook was given something that is no number. `hook_delay_ms` has p50, p95, p99 and max of the last hundred thousand
    calls. `not_placed`: calls skipped because too many were live, or Asterisk was down. `cut_off_readers`: AMI sessions
    that did not read in time. `records` are the last finished calls, in the order of their ends.
    """

    placed: int
    live: int
    finished: int
    not_placed: int
    presented: int
    by_way: dict[Way, int]
    by_outcome: dict[Ending, int]
    duplicates: int
    name_changes: int
    setvars_after_trunk: int
    late_setvars: int
    guarded: int
    cut_off_readers: int
    hook_delay_ms: dict[str, float]
    records: tuple[CallRecord, ...]

    @property
    def own_share(self) -> float:
        """Share of the presented numbers that were VICIdial's own, 0 to 1."""
        return self.by_way.get("own", 0) / self.presented if self.presented else 0.0

    @property
    def violations(self) -> int:
        """How often a rule that always holds was broken."""
        return self.duplicates + self.name_changes + self.setvars_after_trunk


class Checks:
    """Count, and keep the last records. Bounded whatever the number of calls."""

    def __init__(self, options: SimulatorOptions, clock: Clock) -> None:
        self._options = options
        self._clock = clock
        self._live_numbers: Counter[str] = Counter()
        self._by_way: Counter[Way] = Counter()
        self._by_outcome: Counter[Ending] = Counter()
        self._records: deque[CallRecord] = deque(maxlen=options.keep_records)
        self._delays_ms: deque[float] = deque(maxlen=_DELAYS_KEPT)
        self._placed = 0
        self._presented = 0
        self._finished = 0
        self._not_placed = 0
        self._duplicates = 0
        self._name_changes = 0
        self._setvars_after_trunk = 0
        self._late_setvars = 0
        self._guarded = 0
        self._cut_off_readers = 0

    @property
    def grace_s(self) -> float:
        """How long after the trunk leg's first event a Setvar may be read that crossed it on the wire."""
        return self._options.grace_s

    @property
    def placed(self) -> int:
        """How many calls were placed."""
        return self._placed

    @property
    def live(self) -> int:
        """How many calls are going on."""
        return self._placed - self._finished

    def call_placed(self) -> None:
        """Count a call."""
        self._placed += 1

    def call_skipped(self) -> None:
        """Count a call that was not placed."""
        self._not_placed += 1

    def reader_cut_off(self) -> None:
        """Count a session that did not read in time."""
        self._cut_off_readers += 1

    def trunk_began(self, call: PlacedCall, presented: str, name: str, uniqueid: str) -> None:
        """Judge what a trunk leg presents. Said for each leg; a second leg of the same call is no duplicate."""
        if call.trunk_began_s is None:
            self._presented += 1
            self._by_way[call.way] += 1
            self._guarded += call.guarded
            if call.hook_ms is not None:
                self._delays_ms.append(call.hook_ms)
        call.trunk_began_s = self._clock.monotonic_s()
        call.trunk_uniqueids.append(uniqueid)
        call.presented, call.presented_name = presented, name
        if call.way != "own":
            self._duplicates += self._live_numbers[presented] > 0
            self._live_numbers[presented] += 1
            call.holds = presented

    def trunk_ended(self, call: PlacedCall) -> None:
        """The leg is gone, and its number may be presented again."""
        if call.holds:
            self._live_numbers[call.holds] -= 1
            if not self._live_numbers[call.holds]:
                del self._live_numbers[call.holds]
            call.holds = ""

    def name_touched(self) -> None:
        """Count an attempt to change a caller-ID name."""
        self._name_changes += 1

    def setvar_arrived(self, call: PlacedCall) -> None:
        """Judge when a variable is set on a call's channel."""
        if call.trunk_began_s is None:
            return
        if self._clock.monotonic_s() - call.trunk_began_s <= self.grace_s:
            self._late_setvars += 1
        else:
            self._setvars_after_trunk += 1

    def call_ended(self, call: PlacedCall, outcome: Ending) -> CallRecord:
        """Keep the record, and return it. Said once for each call."""
        self.trunk_ended(call)
        plan = call.plan
        self._finished += 1
        self._by_outcome[outcome] += 1
        record = CallRecord(
            code=plan.code,
            kind=plan.kind,
            campaign=plan.campaign,
            destination=plan.destination,
            dialled=plan.dialled,
            channel=call.channel,
            uniqueid=call.uniqueid,
            presented=call.presented,
            way=call.way,
            guarded=call.guarded,
            name_kept=call.presented_name in ("", plan.name),
            hook_ms=call.hook_ms,
            outcome=outcome,
            trunk_uniqueids=tuple(call.trunk_uniqueids),
            placed_at_ms=call.placed_at_ms,
            ended_at_ms=self._clock.wall_ms(),
        )
        self._records.append(record)
        return record

    def report(self) -> SimulatorReport:
        """Return everything counted until now."""
        return SimulatorReport(
            placed=self._placed,
            live=self.live,
            finished=self._finished,
            not_placed=self._not_placed,
            presented=self._presented,
            by_way=dict(self._by_way),
            by_outcome=dict(self._by_outcome),
            duplicates=self._duplicates,
            name_changes=self._name_changes,
            setvars_after_trunk=self._setvars_after_trunk,
            late_setvars=self._late_setvars,
            guarded=self._guarded,
            cut_off_readers=self._cut_off_readers,
            hook_delay_ms=_percentiles(self._delays_ms),
            records=tuple(self._records),
        )


def _percentiles(values: deque[float]) -> dict[str, float]:
    if not values:
        return {}
    ordered = sorted(values)
    last = len(ordered) - 1
    return {
        "p50": ordered[round(last * 0.50)],
        "p95": ordered[round(last * 0.95)],
        "p99": ordered[round(last * 0.99)],
        "max": ordered[last],
    }
