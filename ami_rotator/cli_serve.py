"""`ami-rotator serve` and `simulate`: what runs until it is stopped."""

from __future__ import annotations

import asyncio
import gc
import signal
from collections.abc import Awaitable, Callable
from typing import Annotated

import typer
import uvloop
from rich.console import Console

from ami_rotator.app import App
from ami_rotator.cancellation import end_tasks
from ami_rotator.log import set_up_logging
from ami_rotator.log_lines import Lines
from ami_rotator.settings import Settings, load_settings
from ami_rotator.simulator import Simulator, SimulatorOptions

_console = Console(stderr=True, highlight=False)


def serve() -> None:
    """Run the daemon until Ctrl-C or SIGTERM."""
    settings = load_settings()
    lines = set_up_logging("DEBUG" if settings.debug else settings.log_level, settings.log_file, behind=True)
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_serve(settings, lines))
    finally:
        lines.flush()  # what was logged stands before what is said of an error


async def _serve(settings: Settings, lines: Lines) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for signum in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(signum, _stop_or_end, signum, stop, lines)

    async def say(text: str) -> None:
        await asyncio.to_thread(lines.flush)  # a disk that stands still must not hold up calls
        _console.print(text, soft_wrap=True)

    await _serve_until(App(settings), stop, say)


def _stop_or_end(signum: int, stop: asyncio.Event, lines: Lines) -> None:
    """Stop in order; asked a second time, end at once."""
    if stop.is_set():
        lines.flush()
        _console.print("Asked twice: ending at once. What is lost by that comes back when the daemon starts again.")
        signal.signal(signum, signal.SIG_DFL)
        signal.raise_signal(signum)
    stop.set()


async def _serve_until(daemon: App, stop: asyncio.Event, say: Callable[[str], Awaitable[None]]) -> None:
    async with daemon.running():
        # What is here now stays for the daemon's life. Looking through it for garbage would stop every call for some 100 ms.
        gc.collect()
        gc.freeze()
        # What a call needs is gone with it, without a search. One search for each 20,000 objects that stay finds the rest.
        gc.set_threshold(20_000, 10, 10)
        await say(f"\n[bold]ami_rotator is running.[/bold]  Dashboard: {daemon.base_url}/dashboard")
        link = await daemon.sign_in_link()
        if link is not None:
            await say(f"Sign in with this link, once, within 15 minutes: {link}")
        if daemon.settings.admin_token is None:
            await say(f"Sign in with this token, made for this run: [bold]{daemon.admin_token}[/bold]")
        if not daemon.settings.all_dialers():
            await say("No dialer is configured, so a simulated one places calls. Stop with Ctrl-C.\n")
        await stop.wait()
        await say("Stopping: calls under way are finished with, then everything that was started is stopped.")
    await say("Stopped.")


def simulate(
    port: Annotated[int, typer.Option(help="AMI port; 0 takes a free one.")] = 5038,
    rate: Annotated[float, typer.Option(help="Calls a second.")] = 5.0,
    seconds: Annotated[float, typer.Option(help="How long; 0 until Ctrl-C.")] = 0.0,
    url: Annotated[str, typer.Option(help="Where its dialplan asks /next-cid; empty: it does not ask.")] = "",
    secret: Annotated[str, typer.Option(help="AMI secret of the user rotator.")] = "simulator",
) -> None:
    """Run a pretend Asterisk that dials as VICIdial does, and report what it saw."""
    set_up_logging("INFO")

    async def work() -> None:
        stop = asyncio.Event()
        for signum in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(signum, stop.set)
        async with Simulator(SimulatorOptions(port=port, secret=secret, http_url=url)) as simulator:
            _console.print(f"AMI on 127.0.0.1:{simulator.port}, user rotator; {rate:g} calls a second.")
            calls = asyncio.create_task(simulator.run(rate, seconds or None))
            stopping = asyncio.create_task(stop.wait())
            await asyncio.wait({calls, stopping}, return_when=asyncio.FIRST_COMPLETED)
            await end_tasks(calls, stopping)
            typer.echo(simulator.report)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(work())
