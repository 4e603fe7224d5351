"""The dashboard as a person meets it, in a real browser."""

from __future__ import annotations

import contextlib
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest
from playwright.async_api import Browser, Page, expect

from ami_rotator.http.deps import DashboardData
from tests.support.dashboard_sample import sample
from tests.support.http_rig import HEALTHY, TOKEN, Rig, rig

# One browser for all; every test has a context of its own in it.
pytestmark = pytest.mark.asyncio(loop_scope="package")


def now_ms() -> int:
    return time.time_ns() // 1_000_000


@contextlib.asynccontextmanager
async def signed_in(chromium: Browser, **options: Any) -> AsyncIterator[tuple[Rig, Page, list[str]]]:
    """A page that signed in by the form, and what the browser complained about."""
    async with rig() as at:
        at.state.data = sample(now_ms())
        context = await chromium.new_context(**options)
        page = await context.new_page()
        complaints: list[str] = []
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        await page.goto(at.url + "/dashboard")
        await page.fill("#token", TOKEN)
        await page.press("#token", "Enter")
        await page.wait_for_url("**/dashboard")
        yield at, page, complaints
        await context.close()


async def test_a_person_signs_in_and_sees_a_live_update_without_any_complaint(chromium: Browser) -> None:
    async with signed_in(chromium) as (at, page, complaints):
        await expect(page.locator("#stream")).to_have_text("Live")
        await expect(page.locator("#chart canvas")).to_have_count(1)
        at.state.data = replace(at.state.data, live=98_765)
        await expect(page.locator("#live-calls")).to_have_text("98,765")

        assert complaints == []


async def test_what_a_person_opened_stays_open_and_the_chart_stays_the_same(chromium: Browser) -> None:
    async with signed_in(chromium) as (at, page, _):
        await expect(page.locator("#stream")).to_have_text("Live")
        await page.locator("summary").click()
        await page.locator("#chart canvas").evaluate("canvas => { canvas.dataset.mark = 'mine' }")
        at.state.data = replace(at.state.data, live=77)
        await expect(page.locator("#live-calls")).to_have_text("77")

        await expect(page.locator("#minutes")).to_be_visible()
        await expect(page.locator("#chart canvas[data-mark=mine]")).to_have_count(1)


async def test_the_first_call_brings_the_chart_to_a_page_that_was_empty(chromium: Browser) -> None:
    async with signed_in(chromium) as (at, page, complaints):
        at.state.data = DashboardData(HEALTHY)
        await expect(page.locator("#chart")).to_have_count(0)
        at.state.data = sample(now_ms())
        await expect(page.locator("#chart canvas")).to_have_count(1)

        assert complaints == []


async def test_without_javascript_everything_is_there(chromium: Browser) -> None:
    async with signed_in(chromium, java_script_enabled=False) as (at, page, _):
        text = await page.content()

        for expected in ("312", "6,334", "dialer3", "SURVEY", "as assigned", 'http-equiv="refresh"'):
            assert expected in text
        assert await page.locator("#minutes tbody tr").count() == 60
        assert await page.locator("#chart svg rect").count() == 60
        assert len(at.state.data.last_calls) == await page.locator(".calls tbody tr").count()


async def test_the_stream_comes_back_by_itself(chromium: Browser) -> None:
    async with signed_in(chromium) as (at, page, _):
        await expect(page.locator("#stream")).to_have_text("Live")
        await page.context.set_offline(True)
        await page.route("**/dashboard/live", lambda route: route.abort())
        await page.evaluate("document.getElementById('live')._htmx.sse.reader.cancel()")
        await expect(page.locator("#stream")).to_have_text("Reconnecting", timeout=15_000)
        await page.unroute_all()
        await page.context.set_offline(False)
        at.state.data = replace(at.state.data, live=55)

        await expect(page.locator("#stream")).to_have_text("Live", timeout=20_000)
        await expect(page.locator("#live-calls")).to_have_text("55")


async def test_a_session_that_is_over_leads_to_the_form(chromium: Browser) -> None:
    async with signed_in(chromium) as (_, page, _complaints):
        await expect(page.locator("#stream")).to_have_text("Live")
        await page.context.clear_cookies()
        await page.evaluate("document.getElementById('live')._htmx.sse.reader.cancel()")

        await page.wait_for_url("**/sign-in", timeout=20_000)


async def test_nothing_is_wider_than_the_screen(chromium: Browser) -> None:
    async with signed_in(chromium) as (_, page, _complaints):
        await expect(page.locator("#stream")).to_have_text("Live")
        for width in (360, 1440, 3840):
            await page.set_viewport_size({"width": width, "height": 800})

            assert await page.evaluate("document.documentElement.scrollWidth") == width


async def test_a_keyboard_reaches_everything_and_signs_out(chromium: Browser) -> None:
    async with signed_in(chromium) as (_, page, _complaints):
        reached = []
        for _ in range(7):
            await page.keyboard.press("Tab")
            reached.append(await page.evaluate("document.activeElement.ariaLabel || document.activeElement.innerText"))

        assert reached[:3] == ["Skip to the figures", "Sign out", "Show as a table"]
        assert "Warm pools, table" in reached
        await page.get_by_role("button", name="Sign out").focus()
        await page.keyboard.press("Enter")
        await page.wait_for_url("**/sign-in")


CONTRAST = """(selector) => {
  // Red, green, blue and alpha from 0 to 1, of rgb(), rgba() and color(srgb).
  const parts = (text) => {
    const found = text.match(/[\\d.]+/g).map(Number);
    const top = text.startsWith("color") ? 1 : 255;
    return [...found.slice(0, 3).map((value) => value / top), found[3] ?? 1];
  };
  const over = ([r, g, b, a], below) => [r, g, b].map((value, i) => value * a + below[i] * (1 - a));
  const linear = (v) => (v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
  const light = (rgb) => rgb.reduce((sum, v, i) => sum + linear(v) * [0.2126, 0.7152, 0.0722][i], 0);
  const element = document.querySelector(selector);
  const layers = [];
  for (let e = element; e; e = e.parentElement) layers.unshift(parts(getComputedStyle(e).backgroundColor));
  const below = layers.reduce((under, layer) => over(layer, under), [1, 1, 1]);
  const [a, b] = [light(over(parts(getComputedStyle(element).color), below)), light(below)];
  return (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
}"""


@pytest.mark.thorough
@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_text_can_be_read_on_its_background(chromium: Browser, scheme: Any) -> None:
    async with signed_in(chromium, color_scheme=scheme) as (_, page, _complaints):
        for selector in (".muted", ".clock", ".ok", ".no", ".notice", "thead th", "#status", ".quiet", ".warn dt + dd"):
            assert await page.evaluate(CONTRAST, selector) >= 4.5, selector
