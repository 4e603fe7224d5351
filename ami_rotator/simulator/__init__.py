"""A pretend Asterisk that speaks AMI and dials as VICIdial does: for the demo, for tests and for benchmarks."""

from __future__ import annotations

from ami_rotator.simulator.checks import SimulatorReport
from ami_rotator.simulator.demo import (
    DEMO_AREAS,
    DEMO_CAMPAIGNS,
    DemoCallerId,
    SimulatedCampaign,
    demo_groups,
    demo_inventory,
    demo_policies,
)
from ami_rotator.simulator.options import DAEMON_EVENTS, SimulatorOptions
from ami_rotator.simulator.placed import CallRecord
from ami_rotator.simulator.plan import CallPlan
from ami_rotator.simulator.simulator import Simulator, SimulatorError
from ami_rotator.simulator.spread import Fixed, LogNormal, Spread, Uniform

__all__ = [
    "DAEMON_EVENTS",
    "DEMO_AREAS",
    "DEMO_CAMPAIGNS",
    "CallPlan",
    "CallRecord",
    "DemoCallerId",
    "Fixed",
    "LogNormal",
    "SimulatedCampaign",
    "Simulator",
    "SimulatorError",
    "SimulatorOptions",
    "SimulatorReport",
    "Spread",
    "Uniform",
    "demo_groups",
    "demo_inventory",
    "demo_policies",
]
