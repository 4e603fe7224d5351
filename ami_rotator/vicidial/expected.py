"""How many calls a minute are about to go where: the hopper's order, at the pace at which it is being dialled. Pure."""

from __future__ import annotations

import math
from collections import Counter, deque
from collections.abc import Mapping, Sequence
from itertools import islice

from ami_rotator.domain.types import Area, Campaign
from ami_rotator.domain.warmth import Demand
from ami_rotator.vicidial.feed_rows import FeedCall

# The near ones catch a run of leads of one area, the far one areas that come up once a minute.
_SPANS_S = (3.0, 15.0, 60.0)
# Other dialers take from the hopper while it is being read, and VICIdial puts callbacks in front.
_MARGIN = 1.25
_RATE_OVER_S = 60.0
_RATE_FROM_S = 5.0
_FIRST_CALLS_A_MINUTE = 10.0


class CallRates:
    """Calls a minute of each campaign over the last minute, from what the feed tells."""

    def __init__(self, now_s: float) -> None:
        self._since_s = now_s
        self._calls: deque[tuple[float, Campaign, bool]] = deque()
        self._auto: Counter[Campaign] = Counter()
        self._manual: Counter[Campaign] = Counter()

    def note(self, calls: Sequence[FeedCall], now_s: float) -> None:
        """Count calls; `now_s` is monotonic."""
        for call in calls:
            is_auto = call.kind == "auto"
            self._calls.append((now_s, call.campaign, is_auto))
            (self._auto if is_auto else self._manual)[call.campaign] += 1
        self._forget(now_s)

    def auto_per_minute(self, now_s: float) -> dict[Campaign, float]:
        """Return the auto-dialled calls a minute by campaign."""
        self._forget(now_s)
        over_s = min(max(now_s - self._since_s, _RATE_FROM_S), _RATE_OVER_S)
        return {campaign: count * 60 / over_s for campaign, count in self._auto.items() if count}

    def manual_share(self, now_s: float) -> dict[Campaign, float]:
        """Return the share of calls, 0 to 1, that agents dialled by hand: the hopper does not know them beforehand."""
        self._forget(now_s)
        return {
            campaign: self._manual[campaign] / (self._manual[campaign] + self._auto[campaign])
            for campaign in {*self._auto, *self._manual}
            if self._manual[campaign] + self._auto[campaign]
        }

    def _forget(self, now_s: float) -> None:
        while self._calls and self._calls[0][0] < now_s - _RATE_OVER_S:
            _, campaign, is_auto = self._calls.popleft()
            (self._auto if is_auto else self._manual)[campaign] -= 1


def expected_calls(
    ahead: Mapping[Campaign, Sequence[Area]], per_minute: Mapping[Campaign, float], history: Sequence[Demand] = ()
) -> list[Demand]:
    """Return the calls a minute to come by campaign and area, for `warmth.targets`.

    `ahead` the areas of the next calls in dial order (HopperView.ahead), `per_minute` the pace of each campaign; one that
    has leads ready but has not begun is taken to begin slowly. Of each area the busiest of the next 3, 15 and 60 seconds
    counts. `history` is for what the hopper does not know (see `unforeseen`): of both, the larger counts.
    """
    demand: dict[tuple[Campaign, Area], float] = {}
    for campaign, areas in ahead.items():
        pace = max(per_minute.get(campaign, 0.0), _FIRST_CALLS_A_MINUTE)
        for span_s in _SPANS_S:
            calls = math.ceil(pace * span_s / 60 * _MARGIN)
            for area, count in Counter(islice(areas, calls)).items():
                at = (campaign, area)
                demand[at] = max(demand.get(at, 0.0), count * 60 / span_s)
    for item in history:
        at = (item.campaign, item.area)
        demand[at] = max(demand.get(at, 0.0), item.calls_per_minute)
    return [Demand(campaign, area, calls) for (campaign, area), calls in demand.items() if area]


def unforeseen(
    history: Sequence[Demand], ahead: Mapping[Campaign, Sequence[Area]], manual_share: Mapping[Campaign, float]
) -> list[Demand]:
    """Return the part of past demand that the hopper says nothing about: campaigns without leads in it, and manual calls."""
    found = []
    for item in history:
        share = manual_share.get(item.campaign, 0.0) if ahead.get(item.campaign) else 1.0
        if share:
            found.append(Demand(item.campaign, item.area, item.calls_per_minute * share))
    return found
