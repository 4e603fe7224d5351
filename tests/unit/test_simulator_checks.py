"""What the simulator holds against a caller-ID daemon."""

from __future__ import annotations

from ami_rotator.simulator import SimulatorOptions
from ami_rotator.simulator.checks import Checks
from ami_rotator.simulator.exchange import Exchange
from ami_rotator.simulator.placed import PlacedCall, Way
from ami_rotator.simulator.plan import CallPlan


class HandClock:
    """Stands still until it is moved."""

    def __init__(self) -> None:
        self.now_s = 1_795_262_400.0

    def wall_ms(self) -> int:
        return int(self.now_s * 1000)

    def monotonic_s(self) -> float:
        return self.now_s


def placed(lead: int = 1, way: Way = "variable") -> PlacedCall:
    plan = CallPlan(code=f"V112112000{lead:010d}", kind="auto", campaign="SALES", destination="2125550150")
    return PlacedCall(plan, 0, way=way)


def began(checks: Checks, call: PlacedCall, presented: str = "2125550100") -> PlacedCall:
    checks.trunk_began(call, presented, call.plan.name, "1.1")
    return call


def test_a_number_on_two_live_calls_is_a_duplicate() -> None:
    checks = Checks(SimulatorOptions(), HandClock())

    began(checks, placed(1))
    began(checks, placed(2))

    assert checks.report().duplicates == 1
    assert checks.report().violations == 1


def test_a_number_that_is_used_again_after_the_call_is_none() -> None:
    checks = Checks(SimulatorOptions(), HandClock())

    checks.trunk_ended(began(checks, placed(1)))
    began(checks, placed(2))

    assert checks.report().duplicates == 0


def test_vicidials_own_number_may_be_on_all_calls() -> None:
    checks = Checks(SimulatorOptions(), HandClock())

    began(checks, placed(1, "own"))
    began(checks, placed(2, "own"))

    assert checks.report().duplicates == 0
    assert checks.report().own_share == 1.0


def test_a_second_trunk_leg_of_the_same_call_is_one_presentation() -> None:
    checks = Checks(SimulatorOptions(), HandClock())
    call = began(checks, placed(1))

    checks.trunk_ended(call)
    began(checks, call)

    assert checks.report().duplicates == 0
    assert checks.report().by_way == {"variable": 1}
    assert call.trunk_uniqueids == ["1.1", "1.1"]


def test_a_call_that_is_cut_off_gives_its_number_back() -> None:
    checks = Checks(SimulatorOptions(), HandClock())

    checks.call_ended(began(checks, placed(1)), "cut_off")
    began(checks, placed(2))

    assert checks.report().duplicates == 0


def test_a_setvar_that_crosses_the_trunk_on_the_wire_is_late_and_one_after_it_is_wrong() -> None:
    clock = HandClock()
    checks = Checks(SimulatorOptions(grace_s=0.1), clock)
    call = placed()
    checks.setvar_arrived(call)
    began(checks, call)

    clock.now_s += 0.05
    checks.setvar_arrived(call)
    clock.now_s += 0.1
    checks.setvar_arrived(call)

    assert checks.report().late_setvars == 1
    assert checks.report().setvars_after_trunk == 1


def test_records_are_bounded_and_counts_are_not() -> None:
    checks = Checks(SimulatorOptions(keep_records=3), HandClock())

    for lead in range(10):
        checks.call_placed()
        checks.call_ended(placed(lead), "busy")

    report = checks.report()
    assert report.by_outcome == {"busy": 10}
    assert [record.code[-1] for record in report.records] == ["7", "8", "9"]
    assert report.live == 0


def test_delays_are_told_as_percentiles() -> None:
    checks = Checks(SimulatorOptions(), HandClock())

    for lead in range(101):
        call = placed(lead)
        call.hook_ms = float(lead)
        checks.call_ended(began(checks, call), "busy")

    assert checks.report().hook_delay_ms == {"p50": 50.0, "p95": 95.0, "p99": 99.0, "max": 100.0}


def test_a_changed_name_is_seen_whichever_way_it_was_changed() -> None:
    for variable, value in (("CALLERID(name)", "ACME"), ("CALLERID(all)", '"ACME" <2125550100>')):
        exchange = Exchange(SimulatorOptions(), HandClock())
        call = placed()
        _, second = exchange.local_channels(call, call.plan.dialled)
        second.identifies_as("3125550000", call.plan.name)

        assert exchange.set_variable(second.title, variable, value) == "Variable Set"
        assert exchange.checks.report().name_changes == 1
        assert second.name == "ACME"


def test_uniqueids_never_repeat_after_a_restart() -> None:
    exchange = Exchange(SimulatorOptions(), HandClock())
    before = exchange.local_channels(placed(1), "912125550150")[0]

    exchange.restart()
    after = exchange.local_channels(placed(2), "912125550150")[0]

    assert before.uniqueid.endswith(".0")
    assert after.uniqueid.endswith(".0")
    assert before.uniqueid != after.uniqueid
    assert before.title == after.title
