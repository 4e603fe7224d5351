"""Calls of campaigns with a policy, placed and ended in few words."""

from __future__ import annotations

import uuid

from ami_rotator.domain.campaign import CampaignPolicy
from ami_rotator.domain.ladder import steps
from ami_rotator.domain.numbers import area_of
from ami_rotator.domain.types import (
    E164,
    Assignment,
    CallKey,
    CallRequest,
    Campaign,
    Dialer,
    End,
    Miss,
    ReservationId,
)
from ami_rotator.pool.explaining import Explanation, explain
from ami_rotator.pool.policy_terms import shared_groups, terms_of
from ami_rotator.pool.question import Question
from ami_rotator.pool.redis_pool import RedisPool

SALES, OTHER = Campaign("SALES"), Campaign("OTHER")
ANSWERED = End("answered")
PERSON = E164("+12125550199")


class Caller:
    """Places calls of campaigns with a policy."""

    def __init__(self, pool: RedisPool, *policies: CampaignPolicy) -> None:
        self.pool = pool
        self.policies = {policy.name: policy for policy in policies}
        self.shared = shared_groups(self.policies)
        self.serial = 0

    def request(self, campaign: Campaign, destination: E164 = PERSON, lead: str = "") -> CallRequest:
        """Return the request of a new call."""
        self.serial += 1
        return CallRequest(CallKey(Dialer("d1"), f"V{self.serial:019d}"), destination, campaign, "ami", "", lead)

    async def ask(self, request: CallRequest) -> Assignment | Miss:
        """Ask for the caller-ID of a call."""
        policy = self.policies[request.campaign]
        destination = E164(request.dialled)
        area = area_of(destination)
        identity = ReservationId(str(uuid.uuid4()))
        terms = terms_of(policy, self.shared)
        return await self.pool.assign(Question(identity, request, destination, area, steps(policy, area), terms))

    async def explain(self, request: CallRequest) -> Explanation:
        """Ask what a call would get."""
        policy = self.policies[request.campaign]
        destination = E164(request.dialled)
        area = area_of(destination)
        terms = terms_of(policy, self.shared)
        return await explain(
            self.pool, request.campaign, destination, area, steps(policy, area), terms, request.lead_id
        )

    async def call(
        self, campaign: Campaign = SALES, destination: E164 = PERSON, lead: str = "", end: End | None = ANSWERED
    ) -> Assignment | Miss:
        """Place a call and end it at once, unless `end` is None."""
        request = self.request(campaign, destination, lead)
        found = await self.ask(request)
        if end is not None and isinstance(found, Assignment):
            await self.pool.release(request.key, end)
        return found
