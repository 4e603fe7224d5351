"""A dashboard's data as a busy call centre has it."""

from __future__ import annotations

import math
import random

from ami_rotator.domain.types import State
from ami_rotator.http.deps import DashboardData, DialerHealth, Health, LastCall, Minute, WarmDepth
from ami_rotator.pool.answer_times import Latency

CAMPAIGNS = ("SALES", "SOLAR", "RETAIN", "SURVEY")
AREAS = ("212", "305", "312", "404", "415", "512", "602", "617", "702", "713", "818", "917")


def sample(now_ms: int, *, seed: int = 7) -> DashboardData:
    """Return an hour of calls of four campaigns on three dialers, one of which is down."""
    chance = random.Random(seed)
    began = now_ms // 60_000 * 60_000
    minutes = tuple(
        Minute(
            began - (59 - i) * 60_000,
            int(240 + 60 * math.sin(i / 9) + chance.randint(-18, 18)),
            chance.choice((0, 0, 1, 3, 9)),
        )
        for i in range(60)
    )
    missed = sum(minute.missed for minute in minutes)
    warm = tuple(
        WarmDepth(campaign, area, chance.choice((0, 1, 2, 3, 5, 8)), chance.random() * 14)
        for campaign in CAMPAIGNS
        for area in AREAS
        if chance.random() < 0.8
    )
    outcomes = ("", "", "answered", "no_answer", "busy", "answered", "not_found", "declined")
    calls = []
    for i in range(20):
        area = chance.choice(AREAS)
        caller_id = f"+1{area}555{chance.randint(1000, 9999)}"
        outcome = outcomes[i % len(outcomes)]
        is_match = None if i < 2 else i != 6
        calls.append(
            LastCall(
                at_ms=now_ms - i * 230 - chance.randint(0, 200),
                campaign=chance.choice(CAMPAIGNS),
                dialer=chance.choice(("dialer1", "dialer2")),
                destination=f"+1{area}{chance.randint(2000000, 9999999)}",
                caller_id=caller_id,
                presented="" if is_match is None else caller_id[2:] if is_match else "8005550100",
                rung="any" if i % 7 == 3 else "area",
                source=("feed", "ami", "http")[i % 3],
                outcome=outcome,
                is_match=is_match,
            )
        )
    health = Health(
        redis_ok=True,
        postgresql_ok=True,
        dialers=(
            DialerHealth("dialer1", "up", "hook", "Asterisk 16.28, 184 channels"),
            DialerHealth("dialer2", "up", "hook", "Asterisk 18.20, 151 channels"),
            DialerHealth(
                "dialer3", "down", "observe", "Login refused: wrong secret. Correct AMI_SECRET or manager.conf."
            ),
        ),
    )
    states = {
        State.IN_USE: 312, State.WARM: 214, State.IDLE: 6120, State.WAITING: 1043, State.RESTING: 190, State.DISABLED: 61,
    }  # fmt: skip
    return DashboardData(
        health=health,
        states=states,
        live=312,
        outbox=4,
        warm=warm,
        minutes=minutes,
        last_calls=tuple(calls),
        doors={
            "feed": sum(m.assigned for m in minutes) * 7 // 10,
            "ami": sum(m.assigned for m in minutes) // 4,
            "http": 611,
        },
        latency=Latency(2000, 0.84, 3.9),
        misses={"none_free": missed - missed // 5, "unavailable": missed // 20, "refused": missed // 5 - missed // 20},
    )
