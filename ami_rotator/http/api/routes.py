"""Every endpoint of the API, in one table, and how it gets into the server."""

from __future__ import annotations

from aiohttp import web

from ami_rotator.http.api import caller_ids, campaigns, looks, operations, opt_outs, people, planning
from ami_rotator.http.api.endpoint import Endpoint, handler_of
from ami_rotator.http.api.problems import PREFIX

ENDPOINTS: tuple[Endpoint, ...] = (
    *caller_ids.ENDPOINTS,
    *campaigns.ENDPOINTS,
    *looks.ENDPOINTS,
    *opt_outs.ENDPOINTS,
    *planning.ENDPOINTS,
    *operations.ENDPOINTS,
    *people.ENDPOINTS,
)


def add_api(app: web.Application) -> None:
    """Add the API to an application. Addresses with a fixed end come before those with a part in its place."""
    for endpoint in ENDPOINTS:
        app.router.add_route(endpoint.method, PREFIX + endpoint.path, handler_of(endpoint))
