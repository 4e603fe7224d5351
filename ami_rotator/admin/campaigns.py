"""Campaigns and groups for administrators."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ami_rotator.admin.errors import NotFoundError
from ami_rotator.admin.policies import read_campaign, read_group
from ami_rotator.domain.access import Actor
from ami_rotator.domain.advice import on_limits, on_policy
from ami_rotator.domain.campaign import CampaignPolicy
from ami_rotator.domain.types import Campaign, Group
from ami_rotator.errors import PoolUnavailableError
from ami_rotator.ledger.caller_id_list import facets
from ami_rotator.ledger.database import Database
from ami_rotator.ledger.inventory import GroupSettings, Inventory, LimitDefaults


@dataclass(frozen=True, slots=True)
class GroupView:
    """A group, how many caller-IDs it has, and the campaigns that use it."""

    settings: GroupSettings
    caller_ids: int
    campaigns: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Saved:
    """What was saved. `warnings` are for people: it was saved all the same. `is_in_pool`: false if Redis follows later."""

    warnings: tuple[str, ...]
    is_in_pool: bool


class Campaigns:
    """Policies. Everything raises LedgerUnavailableError; `changed` brings the pool up to date after each change."""

    def __init__(self, database: Database, defaults: LimitDefaults, changed: Callable[[], Awaitable[object]]) -> None:
        self._database = database
        self._defaults = defaults
        self._changed = changed

    async def list(self) -> tuple[CampaignPolicy, ...]:
        """Return the campaigns that have a policy of their own, by name."""
        found = await self._inventory().campaigns()
        return tuple(found[name] for name in sorted(found))

    async def get(self, name: str) -> CampaignPolicy:
        """Return one campaign's policy.

        Raises:
            NotFoundError: it has none of its own.
        """
        found = (await self._inventory().campaigns()).get(Campaign(name))
        if found is None:
            raise NotFoundError(f"Campaign {name!r} has no policy of its own: its calls use the group default.")
        return found

    async def save(self, actor: Actor, name: str, values: Mapping[str, Any], *, keep: bool = False) -> Saved:
        """Add or change a campaign. What `values` leaves out has the default, or with `keep` stays as it is.

        Raises:
            InvalidError: some of it cannot be used; says which field, why, and what to write.
        """
        before: Mapping[str, Any] = {}
        if keep:
            kept = (await self._inventory().campaigns()).get(Campaign(name))
            before = kept.to_dict() if kept else {}
        policy = read_campaign(name, {**before, **values})
        await self._inventory(actor).save_campaign(policy)
        return Saved(await self._warnings(policy), await self._sync())

    async def remove(self, actor: Actor, name: str) -> bool:
        """Delete a campaign's policy: its calls use the group default. Return whether the pool has taken it over.

        Raises:
            NotFoundError: it has none.
        """
        if await self._database.acting_as(actor).value("remove_campaign", name) is None:
            raise NotFoundError(f"Campaign {name!r} has no policy of its own.")
        return await self._sync()

    async def groups(self) -> tuple[GroupView, ...]:
        """Return all groups, by name."""
        inventory = self._inventory()
        counts = (await facets(self._database, 100_000))["group"]
        used: dict[Group, list[str]] = {}
        for policy in (await inventory.campaigns()).values():
            for group in (*policy.groups, *policy.next_groups):
                used.setdefault(group, []).append(policy.name)
        return tuple(
            GroupView(settings, counts.get(name, 0), tuple(sorted(used.get(name, []))))
            for name, settings in sorted((await inventory.groups()).items())
        )

    async def group(self, name: str) -> GroupView:
        """Return one group.

        Raises:
            NotFoundError: there is none of that name.
        """
        for view in await self.groups():
            if view.settings.name == name:
                return view
        raise NotFoundError(f"There is no group {name!r}.")

    async def save_group(self, actor: Actor, name: str, values: Mapping[str, Any]) -> Saved:
        """Add or change a group. What `values` leaves out has the default.

        Raises:
            InvalidError: some of it cannot be used; says which field, why, and what to write.
        """
        group = read_group(name, values)
        await self._inventory(actor).save_group(group)
        advice = on_limits(f"Group {name}", group.hourly_limit, group.daily_limit)
        return Saved(tuple(advice), await self._sync())

    def _inventory(self, actor: Actor | None = None) -> Inventory:
        return Inventory(self._database.acting_as(actor) if actor else self._database, self._defaults)

    async def _warnings(self, policy: CampaignPolicy) -> tuple[str, ...]:
        counts = (await facets(self._database, 100_000))["group"]
        missing = [
            f"Group {group} has no caller-IDs yet; import some into it, or check its name."
            for group in (*policy.groups, *policy.next_groups)
            if not counts.get(group)
        ]
        return (*missing, *on_policy(policy))

    async def _sync(self) -> bool:
        try:
            await self._changed()
        except PoolUnavailableError:
            return False
        return True
