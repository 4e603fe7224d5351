"""Which address is which page."""

from __future__ import annotations

import os
import tempfile
from functools import partial
from pathlib import Path

from aiohttp import web

from ami_rotator.http.pages import (
    audit,
    caller_id,
    caller_ids,
    calls,
    campaigns,
    dialers,
    groups,
    import_file,
    jobs,
    opt_outs,
    plan,
    users,
)
from ami_rotator.http.pages.deps import PageDeps
from ami_rotator.http.pages.frame import PAGES


def add_pages(app: web.Application, pages: PageDeps) -> None:
    """Add all pages to an application."""
    app[PAGES] = pages
    app[import_file.WAITING] = import_file.Waiting(Path(tempfile.gettempdir()) / f"ami-rotator-import-{os.getpid()}")
    get, post = partial(app.router.add_get, allow_head=False), app.router.add_post
    get("/caller-ids", caller_ids.caller_ids)
    post("/caller-ids", caller_ids.change_caller_ids)
    post("/caller-ids/add", caller_ids.add_caller_id)
    get("/caller-ids/export.csv", caller_ids.export)
    get("/caller-ids/import", import_file.import_form)
    post("/caller-ids/import", import_file.preview)
    post("/caller-ids/import/now", import_file.import_for_good)
    get(r"/caller-ids/{number:\d{7,15}}", caller_id.caller_id)
    post(r"/caller-ids/{number:\d{7,15}}", caller_id.save_caller_id)
    post(r"/caller-ids/{number:\d{7,15}}/switch", caller_id.switch_caller_id)
    get("/campaigns", campaigns.campaigns)
    post("/campaigns", campaigns.new_campaign)
    get("/campaigns/{name}", campaigns.campaign)
    post("/campaigns/{name}", campaigns.save_campaign)
    post("/campaigns/{name}/preview", campaigns.preview)
    post("/campaigns/{name}/remove", campaigns.remove_campaign)
    post("/groups", groups.new_group)
    get("/groups/{name}", groups.group)
    post("/groups/{name}", groups.save_group)
    get("/plan", plan.plan)
    get("/plan/export.csv", plan.export)
    post("/plan", plan.plan_for_leads)
    get("/opt-outs", opt_outs.opt_outs)
    post("/opt-outs", opt_outs.add_opt_outs)
    post("/opt-outs/remove", opt_outs.remove_opt_outs)
    get("/calls", calls.calls)
    get("/calls/{reservation}", calls.call)
    get("/dialers", dialers.dialers)
    get("/jobs", jobs.jobs)
    post("/jobs", jobs.run_job)
    get("/audit", audit.audit)
    get("/audit/export.csv", audit.export)
    get("/users", users.users)
    post("/users", users.add_user)
    post("/users/{name}", users.change_user)
    post("/sessions/end", users.end_session)
