"""Demand from the hopper: what is warm when a call comes is what is about to be dialled, not what was."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Sequence

import pytest

from ami_rotator.domain.types import Area, Campaign, Dialer
from ami_rotator.domain.warmth import Demand, targets
from ami_rotator.pool.redis_pool import DEMAND_INTERVAL_MS, DEMAND_KEPT
from ami_rotator.vicidial.expected import CallRates, expected_calls, unforeseen
from ami_rotator.vicidial.feed_rows import FeedCall

CAMPAIGN = Campaign("SALES")
INVENTORY = 20_000
SHARE_MAX = 0.05


def _areas(count: int) -> list[Area]:
    return [Area(str(number)) for number in range(201, 201 + count)]


def _mixed(rng: random.Random, leads: int) -> list[Area]:
    """A list in no order: 200 areas, some many times as frequent as others, as people live."""
    areas = _areas(200)
    return rng.choices(areas, weights=[1 / (rank + 3) for rank in range(len(areas))], k=leads)


def _in_runs(rng: random.Random, leads: int) -> list[Area]:
    """A list that was sorted by number when it was loaded: runs of one area, each of some tens of leads."""
    areas = _areas(200)
    order: list[Area] = []
    while len(order) < leads:
        order += [rng.choice(areas)] * rng.randint(5, 60)
    return order[:leads]


class _WarmPools:
    """The arithmetic of warm pools: a filler sets depths and refills once a second, each call takes one."""

    def __init__(self) -> None:
        self.have: Counter[Area] = Counter()
        self.hits = self.calls = 0

    def fill(self, demands: Sequence[Demand]) -> None:
        self.have = Counter({target.area: target.depth for target in targets(demands, INVENTORY, SHARE_MAX)})

    def take(self, area: Area) -> None:
        self.calls += 1
        if self.have[area]:
            self.have[area] -= 1
            self.hits += 1

    @property
    def share(self) -> float:
        return self.hits / self.calls


class _History:
    """Past demand as the pool keeps it."""

    def __init__(self) -> None:
        self.score: Counter[Area] = Counter()
        self.faded_s = 0.0

    def note(self, area: Area) -> None:
        self.score[area] += 1

    def demands(self, now_s: float) -> list[Demand]:
        if now_s - self.faded_s >= DEMAND_INTERVAL_MS / 1000:
            self.faded_s = now_s
            self.score = Counter({area: score * DEMAND_KEPT for area, score in self.score.items()})
        per_minute = (1 - DEMAND_KEPT) * 60_000 / DEMAND_INTERVAL_MS
        return [Demand(CAMPAIGN, area, score * per_minute) for area, score in self.score.items() if score > 0.02]


def _dial(order: Sequence[Area], calls_per_s: float, seed: int) -> tuple[float, float]:
    """Dial a list at a steady pace with chance in it; return the warm shares with the hopper and from history alone.

    The hopper is read every 2 seconds, the filler runs every second. Every hundredth call is a callback that was put in
    front since the hopper was read.
    """
    rng = random.Random(seed)
    from_hopper, from_history, past = _WarmPools(), _WarmPools(), _History()
    rates = CallRates(0.0)
    left = list(order)
    view: Sequence[Area] = ()
    now_s, fill_s, read_s = 0.0, 0.0, 0.0
    while left:
        now_s += rng.expovariate(calls_per_s)
        while fill_s <= now_s:
            if read_s <= fill_s:
                view, read_s = left[:2000], read_s + 2
            history = past.demands(fill_s)
            ahead = {CAMPAIGN: view}
            manual = unforeseen(history, ahead, rates.manual_share(fill_s))
            from_hopper.fill(expected_calls(ahead, rates.auto_per_minute(fill_s), manual))
            from_history.fill(history)
            fill_s += 1
        area = left.pop(rng.randrange(len(left)) if rng.random() < 0.01 else 0)
        from_hopper.take(area)
        from_history.take(area)
        past.note(area)
        rates.note([_call(area)], now_s)
    return from_hopper.share, from_history.share


def _call(area: Area, kind: str = "auto", campaign: Campaign = CAMPAIGN) -> FeedCall:
    is_auto = kind == "auto"
    return FeedCall(Dialer("d"), "", "auto" if is_auto else "manual", campaign, "1", f"1{area}5550100", "", 0, 0)


def test_a_mixed_list_is_served_warm_by_the_hopper_at_least_99_times_in_a_hundred() -> None:
    hopper, history = _dial(_mixed(random.Random(1), 6000), calls_per_s=10, seed=2)

    print(f"warm share: hopper {hopper:.2%}, history {history:.2%}")
    assert hopper >= 0.99
    assert 0.90 <= history < hopper


@pytest.mark.parametrize("calls_per_s", [2, 20])
def test_a_sorted_list_is_served_warm_where_history_alone_fails(calls_per_s: float) -> None:
    hopper, history = _dial(_in_runs(random.Random(3), 4000), calls_per_s, seed=4)

    print(f"warm share: hopper {hopper:.2%}, history {history:.2%}")
    assert hopper >= 0.97
    assert history < hopper - 0.05


@pytest.mark.parametrize("make", [_mixed, _in_runs])
def test_what_is_kept_warm_follows_the_pace_not_the_length_of_the_hopper(
    make: Callable[[random.Random, int], list[Area]],
) -> None:
    ahead = {CAMPAIGN: make(random.Random(5), 2000)}
    slow = sum(t.depth for t in targets(expected_calls(ahead, {CAMPAIGN: 60.0}), INVENTORY, 1.0))
    fast = sum(t.depth for t in targets(expected_calls(ahead, {CAMPAIGN: 600.0}), INVENTORY, 1.0))

    assert slow < 150
    assert slow < fast < 600


def test_a_campaign_that_has_not_begun_is_taken_to_begin_slowly() -> None:
    areas = _areas(200)
    found = expected_calls({CAMPAIGN: areas}, {})

    assert [(CAMPAIGN, area) for area in areas[:13]] == [(item.campaign, item.area) for item in found]


def test_a_run_of_one_area_is_taken_at_its_pace() -> None:
    area = Area("212")
    found = expected_calls({CAMPAIGN: [area] * 30 + _areas(200)}, {CAMPAIGN: 240.0})
    pace = {item.area: item.calls_per_minute for item in found}[area]

    assert 240 <= pace <= 310


def test_leads_without_an_area_ask_for_nothing() -> None:
    assert expected_calls({CAMPAIGN: [Area("")] * 5}, {CAMPAIGN: 60.0}) == []


def test_history_counts_for_manual_calls_and_for_campaigns_without_a_hopper() -> None:
    other = Campaign("MANUAL")
    history = [Demand(CAMPAIGN, Area("212"), 8.0), Demand(other, Area("305"), 3.0)]
    found = unforeseen(history, {CAMPAIGN: [Area("415")]}, {CAMPAIGN: 0.25})

    assert [Demand(CAMPAIGN, Area("212"), 2.0), Demand(other, Area("305"), 3.0)] == found
    assert [history[1]] == unforeseen(history, {CAMPAIGN: [Area("415")]}, {})


def test_the_pace_is_that_of_the_last_minute() -> None:
    rates = CallRates(0.0)
    for second in range(120):
        rates.note([_call(Area("212"))] * (2 if second < 60 else 5), float(second))
    rates.note([_call(Area("212"), "manual")] * 100, 119.0)

    assert pytest.approx(300, rel=0.05) == rates.auto_per_minute(119.5)[CAMPAIGN]
    assert pytest.approx(0.25, rel=0.05) == rates.manual_share(119.5)[CAMPAIGN]
    assert rates.auto_per_minute(300.0) == {}
