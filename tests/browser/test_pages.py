"""A working day with the dashboard in a real browser, on the demo's daemon with its simulated dialer."""

from __future__ import annotations

import contextlib
import os
import re
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, expect

from tests.support.daemon_process import TOKEN, DaemonProcess, daemon

pytestmark = [pytest.mark.asyncio(loop_scope="package"), pytest.mark.timeout(180)]

AXE = (Path(__file__).parent / "vendor" / "axe.min.js").read_text(encoding="utf-8")
NUMBER = "12125550100"
PAGES = {
    "now": "/dashboard",
    "caller-ids": "/caller-ids",
    "import": "/caller-ids/import",
    "caller-id": f"/caller-ids/{NUMBER}",
    "campaigns": "/campaigns",
    "campaign": "/campaigns/SALES",
    "group": "/groups/default",
    "plan": "/plan?headroom_percent=50",
    "calls": "/calls",
    "dialers": "/dialers",
    "jobs": "/jobs",
    "opt-outs": "/opt-outs",
    "audit": "/audit",
    "users": "/users",
    "api": "/api/v1/docs",
    "sign-in": "/sign-in",
}
WIDTHS = (360, 3840)
# Kept after the run, for people to look at; git ignores build/.
SCREENSHOTS = Path(os.environ.get("AMI_ROTATOR_SCREENSHOTS") or Path(__file__).parents[2] / "build" / "screenshots")
CSV = b"caller_id,group,carrier,daily_limit\n9175550990,sales,Telnyx,50\n12,sales,Telnyx,50\n9175550991,sales,Telnyx,many\n"


@pytest_asyncio.fixture(scope="module", loop_scope="package")
async def demo() -> AsyncIterator[DaemonProcess]:
    """The daemon as `make run` starts it, with its own stores and calls."""
    with tempfile.TemporaryDirectory(prefix="rot-", ignore_cleanup_errors=True) as folder:
        # PostgreSQL runs as `nobody` where the tests run as root.
        Path(folder).chmod(0o755)
        async with daemon(Path(folder), {"SIMULATOR_CALLS_PER_S": "4"}) as running:
            yield running


@contextlib.asynccontextmanager
async def signed_in(chromium: Browser, demo: DaemonProcess, **options: Any) -> AsyncIterator[tuple[Page, list[str]]]:
    """A page that signed in by the form, and what the browser complained about."""
    context = await chromium.new_context(base_url=demo.base_url, **options)
    context.set_default_timeout(20_000)
    page = await context.new_page()
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(f"{page.url}: {message.text}"))
    page.on("pageerror", lambda error: complaints.append(f"{page.url}: {error}"))
    await page.goto("/dashboard")
    await page.fill("#token", TOKEN)
    await page.press("#token", "Enter")
    await page.wait_for_url("**/dashboard")
    yield page, complaints
    await context.close()


@pytest.mark.parametrize("with_javascript", [True, False])
async def test_a_file_with_errors_is_looked_at_and_its_good_rows_imported(
    chromium: Browser, demo: DaemonProcess, with_javascript: bool
) -> None:
    file = CSV if with_javascript else CSV.replace(b"0990", b"0992")
    async with signed_in(chromium, demo, java_script_enabled=with_javascript) as (page, complaints):
        await page.click("text=Caller-IDs")
        await page.click("text=Import a file")
        await page.set_input_files("#file", {"name": "numbers.csv", "mimeType": "text/csv", "buffer": file})
        await page.click("text=Look at it first")
        rows = page.locator(".problems tbody tr")
        await expect(rows).to_have_count(2)
        await expect(rows.nth(0)).to_contain_text("is not a phone number")
        await expect(rows.nth(1)).to_contain_text("is not a whole number")
        await page.click("button:has-text('Import 1 row')")
        await expect(page.locator(".notice.good")).to_have_text(re.compile("imported"))
        await page.fill("#f-search", "917555099")
        await page.click("button:has-text('Find')")
        assert await page.locator("table.list tbody tr").count() >= 1

        assert complaints == []


async def test_a_simulated_call_arrives_live_and_is_explained(chromium: Browser, demo: DaemonProcess) -> None:
    async with signed_in(chromium, demo) as (page, complaints):
        await expect(page.locator("#stream")).to_have_text("Live")
        first = page.locator("table.calls tbody tr").first
        before = await first.inner_text()
        await expect(first).not_to_have_text(before, timeout=20_000)
        await page.click("nav >> text=Calls")
        await page.locator("table.list tbody th a").first.click()
        await expect(page.locator("h2:has-text('Why') ~ p").first).to_contain_text("on the rung")

        assert complaints == []


async def test_a_number_that_is_switched_off_leaves_the_pool(chromium: Browser, demo: DaemonProcess) -> None:
    async with signed_in(chromium, demo) as (page, complaints):
        await page.goto("/caller-ids?sort=-number")
        box = page.locator("#chosen input[name=number]").first
        number = (await box.get_attribute("value") or "")[1:]
        await box.check()
        await page.select_option("#c-action", "disable")
        await page.click("button:has-text('Change')")
        await expect(page.locator("h1")).to_have_text("1 caller-ID: switch off?")
        await page.click("button:has-text('Yes')")
        await expect(page.locator(".notice.good")).to_have_text("1 caller-ID was switched off.")
        await page.goto(f"/caller-ids/{number}")
        await expect(page.locator(".title .key")).to_have_text(re.compile("disabled|in use"))
        await expect(page.locator("section:has(#h-changes)")).to_contain_text("disabled")
        await page.click("button:has-text('Switch on')")
        await expect(page.locator(".title .key")).not_to_have_text("disabled")

        assert complaints == []


async def test_a_policy_is_edited_and_explain_follows(chromium: Browser, demo: DaemonProcess) -> None:
    async with signed_in(chromium, demo) as (page, complaints):
        await page.goto("/campaigns/SALES")
        steps = page.locator(".ladder li strong")
        verdict = page.locator(".verdict")
        await expect(verdict).to_contain_text("A call to 2125550100 now would show 212")
        await expect(verdict).to_contain_text("same area, group sales")
        await page.fill("#r-area", "")
        await page.fill("#r-state", "1")
        await expect(steps).to_have_text(["same state", "any area"])
        await expect(verdict).to_contain_text("same state, group sales: free")
        await page.fill("#p-groups", "survey")
        await page.fill("#p-to", "3055550100")
        await expect(verdict).to_contain_text("A call to 3055550100 now would show")
        await expect(verdict).to_contain_text("same state, group survey")
        await page.fill("#p-groups", "sales")
        await page.fill("#r-area", "1")
        await page.fill("#r-state", "2")
        await page.fill("#r-any", "3")
        await expect(steps).to_have_text(["same area", "same state", "any area"])
        await page.click("button:has-text('Save')")
        await expect(page.locator(".notice.good")).to_have_text("Saved.")
        await expect(steps).to_have_text(["same area", "same state", "any area"])
        await page.fill("#r-any", "x")
        await expect(page.locator("#ladder .notice")).to_contain_text("is a whole number")

        assert complaints == []


async def test_without_javascript_the_preview_of_what_is_entered_is_a_button_away(
    chromium: Browser, demo: DaemonProcess
) -> None:
    async with signed_in(chromium, demo, java_script_enabled=False) as (page, _):
        await page.goto("/campaigns/RENEWAL")
        await page.fill("#r-area", "")
        await page.click("button:has-text('Preview')")

        await expect(page.locator(".ladder li strong")).to_have_text(["any area", "any area"])
        await expect(page.locator(".verdict")).to_contain_text("any area, group")
        await expect(page.locator("#r-area")).to_have_value("")


async def test_a_plan_is_made_for_a_list_of_leads_without_javascript(chromium: Browser, demo: DaemonProcess) -> None:
    leads = b"phone_number\n" + b"2125550100\n" * 3000
    async with signed_in(chromium, demo, java_script_enabled=False) as (page, complaints):
        await page.click("nav >> text=Plan")
        await page.click("summary:has-text('For a list of leads')")
        await page.set_input_files("#file", {"name": "leads.csv", "mimeType": "text/csv", "buffer": leads})
        await page.fill("#f-daily", "5")
        await page.click("button:has-text('Plan for this list')")
        await expect(page.locator(".figures")).to_contain_text("for 3,000 leads of leads.csv")
        await expect(page.locator("section:has(#h-buy) tbody tr")).to_have_count(1)

        assert complaints == []


async def test_a_user_signs_in_by_name_sees_their_pages_and_signs_out(chromium: Browser, demo: DaemonProcess) -> None:
    async with signed_in(chromium, demo) as (page, _):
        await page.goto("/users")
        await page.fill("#u-name", "vera")
        await page.click("button:has-text('Add')")
        password = await page.locator(".notice code").inner_text()
        await page.click("text=Sign out >> nth=0")
        await page.wait_for_url("**/sign-in")
        await page.fill("#name", "vera")
        await page.fill("#token", password)
        await page.press("#token", "Enter")
        await page.wait_for_url("**/dashboard")
        shown = await page.locator("nav.pages a").all_inner_texts()

        assert shown == ["Now", "Caller-IDs", "Campaigns", "Plan", "Calls", "Dialers", "Jobs"]
        await page.goto("/caller-ids")
        assert await page.locator("#c-action").count() == 0
        await page.goto("/users")
        await expect(page.locator("h1")).to_have_text("That is not allowed")
        await page.click("button:has-text('Sign out')")
        await page.wait_for_url("**/sign-in")
        await page.goto("/caller-ids")
        await page.wait_for_url("**/sign-in")


@pytest.mark.thorough
@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_every_page_is_accessible_and_fits_the_screen(
    chromium: Browser, demo: DaemonProcess, scheme: Any
) -> None:
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    options = {"color_scheme": scheme, "viewport": {"width": 1440, "height": 900}}
    async with signed_in(chromium, demo, **options) as (page, complaints):
        await page.goto("/calls")
        call = await page.locator("table.list tbody th a").first.get_attribute("href") or ""
        found = []
        for name, path in {**PAGES, "call": call}.items():
            await page.goto(path)
            if name == "now":
                await expect(page.locator("#chart canvas")).to_have_count(1)
            await page.screenshot(path=SCREENSHOTS / f"{name}-{scheme}.png", full_page=True)
            await page.evaluate("document.querySelectorAll('details').forEach((part) => (part.open = true))")
            found += [f"{path} {problem}" for problem in await serious(page)]
            for width in WIDTHS if scheme == "light" else ():
                await page.set_viewport_size({"width": width, "height": 800})
                wide = await page.evaluate("document.documentElement.scrollWidth")
                found += [f"{path} is {wide} wide on a screen of {width}"] if wide > width else []
            await page.set_viewport_size({"width": 1440, "height": 900})

        assert found == []
        assert complaints == []


async def serious(page: Page) -> list[str]:
    """What axe finds that keeps people out. Of long lists it looks at the beginning: what follows is alike."""
    await page.evaluate(
        "document.querySelectorAll('tr:nth-child(n+9), .endpoint:nth-of-type(n+2)').forEach((e) => e.remove())"
    )
    await page.evaluate(AXE)
    report = await page.evaluate("axe.run(document, {resultTypes: ['violations']})")
    return [
        f"{item['id']} ({item['impact']}): {item['nodes'][0]['html'][:200]}"
        for item in report["violations"]
        if item["impact"] in ("serious", "critical")
    ]


async def test_the_list_is_worked_by_keyboard_alone(chromium: Browser, demo: DaemonProcess) -> None:
    async with signed_in(chromium, demo) as (page, _):
        await page.goto("/caller-ids")
        await page.keyboard.press("Tab")
        await page.keyboard.press("Enter")
        assert await page.evaluate("document.activeElement.id") == "main"
        reached = []
        for _ in range(24):
            await page.keyboard.press("Tab")
            reached.append(
                await page.evaluate(
                    "document.activeElement.ariaLabel || document.activeElement.id || document.activeElement.innerText"
                )
            )

        for expected in (
            "Import a file",
            "f-search",
            "f-state",
            "Find",
            "Next page »",
            "Caller-IDs, table",
            "Choose all on this page",
        ):
            assert any(expected in text for text in reached), (expected, reached)
        await page.keyboard.press("Space")
