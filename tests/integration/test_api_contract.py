"""The API against its own description: whatever is sent, no fault of ours (5xx), and answers as they are described."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import hypothesis
import pytest
import schemathesis
from redis.asyncio import Redis
from schemathesis.checks import not_a_server_error
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import response_schema_conformance, status_code_conformance

from ami_rotator.http.openapi import document
from ami_rotator.ledger.database import Database
from tests.support.api_rig import ApiRig, api_rig

BUDGET_S = 40.0
EXAMPLES = 12
CHECKS = [not_a_server_error, status_code_conformance, response_schema_conformance]


def break_in(url: str, headers: dict[str, str]) -> tuple[int, int, list[str]]:
    """Send made-up requests to every operation, for a bounded time; return how many, to how many, and the failures."""
    schema = schemathesis.openapi.from_dict(document())
    schema.config.update(base_url=url)
    operations = [result.ok() for result in schema.get_all_operations() if isinstance(result, Ok)]
    ours = [operation for operation in operations if operation.path.startswith("/api/v1")]
    asked: list[str] = []
    failures: list[str] = []
    for operation in ours:
        try:
            _attack(operation, headers, BUDGET_S / len(ours), asked)
        except BaseException as failure:  # schemathesis raises groups of its own
            failures.append(f"{operation.label}: {failure!r} {getattr(failure, 'exceptions', '')}")
    return len(asked), len(set(asked)), failures


def _attack(operation: Any, headers: dict[str, str], share_s: float, asked: list[str]) -> None:
    """Send requests to one operation, one at least, until its share of the time is over."""
    ends_s = time.monotonic() + share_s

    @hypothesis.settings(
        max_examples=EXAMPLES, deadline=None, database=None, suppress_health_check=list(hypothesis.HealthCheck)
    )
    @hypothesis.given(case=operation.as_strategy())
    def attack(case: Any) -> None:
        if time.monotonic() > ends_s and operation.label in asked:
            return
        asked.append(operation.label)
        case.validate_response(case.call(headers=headers, timeout=30), checks=CHECKS)

    attack()


@pytest.mark.thorough
@pytest.mark.timeout(240)
async def test_no_request_breaks_it_and_answers_are_as_described(database: Database, redis_client: Redis) -> None:
    api: ApiRig
    async with api_rig(database, redis_client) as api:
        sent, tried, failures = await asyncio.to_thread(break_in, api.at.url, api.admin)

        assert failures == []
        print(f"{sent} requests to {tried} operations")
        assert tried == sum(len(methods) for path, methods in document()["paths"].items() if path.startswith("/api/v1"))
        assert sent > tried
