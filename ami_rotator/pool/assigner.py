"""From a call, as a door describes it, to the caller-ID it shows: number, policy, ladder, pool."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import NamedTuple

import structlog

from ami_rotator.clock import Clock, SystemClock
from ami_rotator.domain.campaign import CampaignPolicy, policy_of
from ami_rotator.domain.ladder import Step, steps
from ami_rotator.domain.numbers import area_of, mask, parse_dialled
from ami_rotator.domain.types import E164, Area, Assignment, CallRequest, Campaign, Group, Miss, ReservationId
from ami_rotator.errors import PoolUnavailableError
from ami_rotator.metrics import Metrics
from ami_rotator.pool.answer_times import AnswerTimes
from ami_rotator.pool.explaining import Explanation, explain
from ami_rotator.pool.policy_terms import shared_groups, terms_of
from ami_rotator.pool.question import Question
from ami_rotator.pool.redis_pool import RedisPool
from ami_rotator.pool.trial import Trial, filed_rungs, gathered, spread

_TELL_AWAY_S = 1.0
_LADDERS_MOST = 10_000


class _Asked(NamedTuple):
    """What the pool is asked for a call."""

    destination: E164 | None
    area: Area
    steps: Sequence[Step]
    terms: str


class Assigner:
    """The one way in for all doors. Policies are replaced as a whole when they change."""

    def __init__(
        self,
        pool: RedisPool,
        region: str,
        dial_prefixes: Sequence[str],
        metrics: Metrics | None = None,
        clock: Clock | None = None,
    ) -> None:
        self._policies: Mapping[Campaign, CampaignPolicy] = {}
        self._terms: dict[Campaign, str] = {}
        self._ladders: dict[tuple[Campaign, Area, str], Sequence[Step]] = {}
        self.cities: Mapping[str, str] = {}
        self.answer_times = AnswerTimes()
        self._pool = pool
        self._region = region
        self._dial_prefixes = tuple(dial_prefixes)
        self._metrics = metrics or Metrics()
        self._clock = clock or SystemClock()
        self._told_away_s = float("-inf")
        self._unrecorded: list[tuple[CallRequest, Assignment | Miss, float]] = []
        # Bound: what `get_logger` returns looks for its logger anew with each line.
        self._log = structlog.get_logger("assign").bind()

    @property
    def policies(self) -> Mapping[Campaign, CampaignPolicy]:
        """The policies of the campaigns that have one."""
        return self._policies

    @policies.setter
    def policies(self, policies: Mapping[Campaign, CampaignPolicy]) -> None:
        shared = shared_groups(policies)
        self._terms = {name: terms_of(policy, shared) for name, policy in policies.items()}
        self._policies = policies
        self._ladders.clear()

    async def assign(self, request: CallRequest) -> Assignment | Miss:
        """Give a call its caller-ID. Never raises: with Redis away it is a Miss, and the call keeps its own number.

        A destination that cannot be read as a number has no area: it gets the last rungs.
        """
        began = self._clock.monotonic_s()
        found: Assignment | Miss
        try:
            found = await self._pool.assign(self._question(request))
        except PoolUnavailableError as error:
            found = Miss("unavailable", str(error))
        self._note(request, found, began)
        return found

    def assign_then(self, request: CallRequest, then: Callable[[Assignment | Miss], None]) -> None:
        """As `assign`: `then` is called once, in the very turn of the loop in which the answer is read."""
        began = self._clock.monotonic_s()

        def told(outcome: Assignment | Miss | Exception) -> None:
            found: Assignment | Miss
            if isinstance(outcome, Exception):
                found = Miss("unavailable", str(outcome))
                if not isinstance(outcome, PoolUnavailableError):
                    self._log.error("no answer could be made of what Redis said", exc_info=outcome)
            else:
                found = outcome
            then(found)
            self._note(request, found, began)

        self._pool.assign_then(self._question(request), told)

    def _question(self, request: CallRequest) -> Question:
        asked = self._look_up(request.campaign, request.dialled)
        reservation = ReservationId(str(uuid.uuid4()))
        return Question(reservation, request, asked.destination, asked.area, asked.steps, asked.terms)

    def _note(self, request: CallRequest, found: Assignment | Miss, began_s: float) -> None:
        # Told of at the loop's next turn: of the dialplan's few milliseconds, metrics and a line in the log take a tenth.
        if not self._unrecorded:
            asyncio.get_running_loop().call_soon(self._record_all)
        self._unrecorded.append((request, found, self._clock.monotonic_s() - began_s))

    def _record_all(self) -> None:
        unrecorded, self._unrecorded = self._unrecorded, []
        for request, found, took_s in unrecorded:
            try:
                self._record(request, found, took_s)
            except Exception:  # one call's trouble must not hide the others
                self._log.exception("an answer could not be recorded")

    async def explain(self, campaign: Campaign, dialled: str, lead_id: str = "") -> Explanation:
        """Return what a call would get now, and why, without giving it.

        Raises:
            PoolUnavailableError: Redis is away or too slow.
        """
        asked = self._look_up(campaign, dialled)
        return await explain(self._pool, campaign, asked.destination, asked.area, asked.steps, asked.terms, lead_id)

    async def try_policy(
        self, policy: CampaignPolicy, destination: E164 | None, area: Area, areas: Mapping[Group, Collection[Area]]
    ) -> Trial:
        """Return what a call would get under a policy that need not be saved, beside the other campaigns as they are.

        `areas` are those of the caller-IDs of each of its groups. Its limits and time zone are not tried: caller-IDs have
        theirs since they were loaded.

        Raises:
            PoolUnavailableError: Redis is away or too slow.
        """
        ladder = steps(policy, area, self._city(destination))
        terms = terms_of(policy, shared_groups({**self._policies, policy.name: policy}))
        filed = filed_rungs([policy_of(policy.name, self._policies), *self._policies.values()])
        walked = spread(ladder, filed, areas)
        found = await explain(self._pool, policy.name, destination, area, walked.steps, terms)
        return Trial(tuple(ladder), gathered(found, walked), walked.new_rungs)

    def _look_up(self, campaign: Campaign, dialled: str) -> _Asked:
        destination = parse_dialled(dialled, self._dial_prefixes, self._region)
        area = area_of(destination) if destination else Area("")
        return _Asked(
            destination, area, self._ladder(campaign, area, self._city(destination)), self._terms.get(campaign, "")
        )

    def _ladder(self, campaign: Campaign, area: Area, city: str) -> Sequence[Step]:
        """Return the ladder of a call. Kept by names: to find it by its policy takes as long as all else before Redis."""
        ladder = self._ladders.get((campaign, area, city))
        if ladder is None:
            if len(self._ladders) >= _LADDERS_MOST:
                self._ladders.clear()
            ladder = self._ladders[campaign, area, city] = steps(policy_of(campaign, self._policies), area, city)
        return ladder

    def _city(self, destination: E164 | None) -> str:
        return self.cities.get(destination[2:8], "") if destination and destination.startswith("+1") else ""

    def _may_log_away(self) -> bool:
        """Let one line a second tell that Redis is away, however many calls there are; the metric counts them all."""
        now = self._clock.monotonic_s()
        if now - self._told_away_s < _TELL_AWAY_S:
            return False
        self._told_away_s = now
        return True

    def _record(self, request: CallRequest, found: Assignment | Miss, took_s: float) -> None:
        source = request.source
        self._metrics.asked(source, took_s)
        self.answer_times.add(took_s)
        call = {
            "call": request.key.code or request.key.uniqueid,
            "dialer": request.key.dialer,
            "campaign": request.campaign,
            "destination": mask(request.dialled),
            "source": source,
            "took_ms": round(took_s * 1000, 2),
        }
        if isinstance(found, Miss):
            self._metrics.misses.labels(source, found.reason).inc()
            if found.reason == "unavailable" and not self._may_log_away():
                return
            self._log.warning("kept its own caller-ID", reason=found.reason, detail=found.detail, **call)
        elif found.is_new:
            self._metrics.assigned(source, found.rung, was_warm=found.was_warm)
            self._log.info(
                "assigned",
                caller_id=found.caller_id,
                rung=found.rung.value,
                warm=found.was_warm,
                why=found.why,
                reservation=found.reservation,
                **call,
            )
        else:
            self._metrics.repeats.labels(source).inc()
