"""Campaigns and groups in the API. Their fields are those of the domain's policy, whatever it learns."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, create_model

from ami_rotator.admin.campaigns import GroupView, Saved
from ami_rotator.admin.policies import CampaignBody, GroupBody
from ami_rotator.domain.campaign import CampaignPolicy
from ami_rotator.http.api.endpoint import Call, Endpoint
from ami_rotator.http.api.models import Page, SavedAnswer


class PartOfCampaign(BaseModel):
    """Some fields of a policy, as in CampaignPolicy; what is left out stays."""

    model_config = ConfigDict(extra="allow")


CampaignItem: type[BaseModel] = create_model(
    "Campaign", __base__=CampaignBody, __doc__="A campaign and its policy.", name=(str, ...)
)
GroupItem: type[BaseModel] = create_model(
    "Group", __base__=GroupBody, __doc__="A group, how many caller-IDs it has, and the campaigns that use it.",
    name=(str, ...), caller_ids=(int, 0), campaigns=(list[str], []),
)  # fmt: skip


async def list_campaigns(call: Call) -> Any:
    """Return all campaigns that have a policy of their own."""
    return Page(items=[_campaign(policy) for policy in await call.desk.campaigns.list()])


async def get_campaign(call: Call) -> Any:
    """Return one campaign's policy."""
    return _campaign(await call.desk.campaigns.get(call.part("name")))


async def put_campaign(call: Call) -> SavedAnswer:
    """Save a policy whole: what is left out has the default."""
    return _saved(await call.desk.campaigns.save(call.actor, call.part("name"), dict(call.body)))


async def patch_campaign(call: Call) -> SavedAnswer:
    """Change some of a policy."""
    values = call.body.model_extra or {}
    return _saved(await call.desk.campaigns.save(call.actor, call.part("name"), values, keep=True))


async def remove_campaign(call: Call) -> None:
    """Delete a policy."""
    await call.desk.campaigns.remove(call.actor, call.part("name"))


async def list_groups(call: Call) -> Any:
    """Return all groups."""
    return Page(items=[_group(view) for view in await call.desk.campaigns.groups()])


async def get_group(call: Call) -> Any:
    """Return one group."""
    return _group(await call.desk.campaigns.group(call.part("name")))


async def put_group(call: Call) -> SavedAnswer:
    """Save a group whole: what is left out has the default."""
    return _saved(await call.desk.campaigns.save_group(call.actor, call.part("name"), dict(call.body)))


def _campaign(policy: CampaignPolicy) -> BaseModel:
    return CampaignItem(name=policy.name, **policy.to_dict())


def _group(view: GroupView) -> BaseModel:
    settings = {field: getattr(view.settings, field) for field in view.settings.__dataclass_fields__}
    return GroupItem(**settings, caller_ids=view.caller_ids, campaigns=list(view.campaigns))


def _saved(saved: Saved) -> SavedAnswer:
    return SavedAnswer(warnings=list(saved.warnings), in_pool=saved.is_in_pool)


ENDPOINTS = (
    Endpoint("GET", "/campaigns", list_campaigns, "viewer", "List campaigns with a policy of their own",
             answer=Page[CampaignItem]),
    Endpoint("GET", "/campaigns/{name}", get_campaign, "viewer", "Look at a campaign's policy", answer=CampaignItem,
             errors=("not_found",)),
    Endpoint("PUT", "/campaigns/{name}", put_campaign, "admin", "Save a campaign's policy; what is left out has the default",
             body=CampaignBody, answer=SavedAnswer),
    Endpoint("PATCH", "/campaigns/{name}", patch_campaign, "admin", "Change some fields of a campaign's policy",
             body=PartOfCampaign, answer=SavedAnswer),
    Endpoint("DELETE", "/campaigns/{name}", remove_campaign, "admin", "Delete a policy: calls use the group default",
             errors=("not_found",), status=204),
    Endpoint("GET", "/groups", list_groups, "viewer", "List groups", answer=Page[GroupItem]),
    Endpoint("GET", "/groups/{name}", get_group, "viewer", "Look at a group", answer=GroupItem, errors=("not_found",)),
    Endpoint("PUT", "/groups/{name}", put_group, "admin", "Add or change a group; what is left out has the default",
             body=GroupBody, answer=SavedAnswer),
)  # fmt: skip
