"""The proxy configurations of deploy/proxy as they are, in Debian's nginx and Caddy, with TLS, before a real daemon."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import signal
import ssl
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest

from tests.support.asterisk_lab import free_port
from tests.support.daemon_process import TOKEN, DaemonProcess

pytestmark = [pytest.mark.thorough, pytest.mark.timeout(180)]

DEPLOY = Path(__file__).parents[2] / "deploy" / "proxy"
NAME = "callerid.example.com"
PROXIES = ("nginx", "plesk", "caddy")


def _need(program: str) -> str:
    found = shutil.which(program, path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    if found is None:
        reason = f"{program} is not installed: apt-get install {program}"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    return found


def _certificate(folder: Path) -> tuple[Path, Path]:
    """Make a self-signed certificate for the name in the configurations."""
    certificate, key = folder / "certificate.pem", folder / "key.pem"
    wanted = ["-subj", f"/CN={NAME}", "-addext", f"subjectAltName=DNS:{NAME}", "-days", "2", "-nodes"]
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", *wanted, "-keyout", str(key), "-out", str(certificate)],
        check=True,
        capture_output=True,
        timeout=30,
    )
    return certificate, key


def _changed(text: str, *changes: tuple[str, str]) -> str:
    """Make the changes that a reader makes; each of them must find something to change."""
    for old, new in changes:
        assert old in text, f"the configuration has no {old!r} any more"
        text = text.replace(old, new)
    return text


def _nginx(folder: Path, servers: str) -> list[str]:
    """Write nginx' main configuration around servers; return the command."""
    program = _need("nginx")
    temporary = "".join(
        f"{kind}_temp_path {folder}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    user = "user root;" if os.getuid() == 0 else ""
    main = folder / "nginx.conf"
    main.write_text(
        f"{user} daemon off; pid {folder}/pid; error_log {folder}/error.log;\nevents {{}}\n"
        f"http {{ access_log off; {temporary}\n{servers}\n}}\n"
    )
    return [program, "-c", str(main), "-p", str(folder), "-e", str(folder / "error.log")]


def _command(proxy: str, folder: Path, backend: str, port: int, networks: str) -> list[str]:
    """Write a proxy's configuration with a reader's changes; return the command that runs it."""
    certificate, key = _certificate(folder)
    if proxy == "caddy":
        program = _need("caddy")
        text = _changed(
            (DEPLOY / "Caddyfile").read_text(),
            (f"{NAME} {{", f"https://{NAME}:{port} {{\n\ttls {certificate} {key}"),
            ("127.0.0.1:8000 {", f"{backend} {{"),
            ("10.0.0.0/24", networks),
        )
        file = folder / "Caddyfile"
        file.write_text("{\n\tadmin off\n\tauto_https disable_redirects\n}\n" + text)
        return [program, "run", "--adapter", "caddyfile", "--config", str(file)]
    changes = [("127.0.0.1:8000;", f"{backend};"), ("allow 10.0.0.0/24;", f"allow {networks};")]
    if proxy == "nginx":
        own = [
            (f"/etc/ssl/{NAME}.pem", str(certificate)),
            (f"/etc/ssl/{NAME}.key", str(key)),
            ("listen 443 ssl", f"listen 127.0.0.1:{port} ssl"),
            ("listen 80", f"listen 127.0.0.1:{free_port()}"),
        ]
        return _nginx(folder, _changed((DEPLOY / "nginx.conf").read_text(), *changes, *own))
    # What Plesk has around the additional directives.
    around = (
        f"listen 127.0.0.1:{port} ssl; server_name {NAME}; ssl_certificate {certificate}; ssl_certificate_key {key};"
    )
    inside = _changed((DEPLOY / "plesk-nginx.conf").read_text(), *changes)
    return _nginx(folder, f"server {{ {around}\n{inside}\n}}")


@asynccontextmanager
async def _running(command: list[str], folder: Path) -> AsyncIterator[None]:
    environment = {**os.environ, "HOME": str(folder), "XDG_DATA_HOME": str(folder), "XDG_CONFIG_HOME": str(folder)}
    with (folder / "output.log").open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output, env=environment)
    try:
        yield
        # In order, that is after the last stream: one to the daemon that outlives its browser keeps the proxy here.
        process.send_signal(signal.SIGQUIT if "nginx" in command[0] else signal.SIGTERM)
        await asyncio.to_thread(process.wait, 10)
    finally:
        process.kill()
        process.wait(5)


@asynccontextmanager
async def _browser(folder: Path, port: int) -> AsyncIterator[aiohttp.ClientSession]:
    """Give a client that trusts the certificate and finds the name on loopback."""
    trusted = ssl.create_default_context(cafile=str(folder / "certificate.pem"))
    timeout = aiohttp.ClientTimeout(total=30, sock_connect=5)
    connector = aiohttp.TCPConnector(ssl=trusted, resolver=_Loopback())
    jar = aiohttp.CookieJar()
    async with aiohttp.ClientSession(
        f"https://{NAME}:{port}", connector=connector, timeout=timeout, cookie_jar=jar
    ) as session:
        yield session


class _Loopback(aiohttp.abc.AbstractResolver):
    async def resolve(self, host: str, port: int = 0, family: int = 0) -> list[aiohttp.abc.ResolveResult]:
        return [
            aiohttp.abc.ResolveResult(hostname=host, host="127.0.0.1", port=port, family=2, proto=0, flags=0),
        ]

    async def close(self) -> None:
        return


async def _up(session: aiohttp.ClientSession, folder: Path) -> None:
    async with asyncio.timeout(30):
        while True:
            try:
                async with session.get("/livez"):
                    return
            except aiohttp.ClientConnectionError:
                await asyncio.sleep(0.05)
    raise TimeoutError((folder / "output.log").read_text())


@pytest.mark.parametrize("proxy", PROXIES)
async def test_health_sign_in_dashboard_and_live_stream_work_through_tls(
    proxy: str, demo_daemon: DaemonProcess, tmp_path: Path
) -> None:
    folder, port = tmp_path / proxy, free_port()
    folder.mkdir()
    command = _command(proxy, folder, demo_daemon.base_url.removeprefix("http://"), port, "127.0.0.1/32")
    async with _running(command, folder), _browser(folder, port) as session:
        await _up(session, folder)
        async with session.get("/health") as health:
            healthy = await health.json()
        # As browsers without Sec-Fetch-Site do: unless the proxy hands on Host, the daemon takes this for a forgery.
        origin = {"Origin": f"https://{NAME}:{port}"}
        async with session.post("/sign-in", data={"token": TOKEN}, headers=origin, allow_redirects=False) as signed_in:
            cookie = signed_in.headers.get("Set-Cookie", "")
        async with session.get("/dashboard") as dashboard:
            page = await dashboard.text()
        pages: list[float] = []
        loop = asyncio.get_running_loop()
        async with session.get("/dashboard/live") as live:
            kind = live.headers["Content-Type"]
            async with asyncio.timeout(20):
                async for line in live.content:
                    if line.startswith(b"data:") and (not pages or loop.time() - pages[-1] > 0.3):
                        pages.append(loop.time())
                    if len(pages) == 3:
                        break
        for _ in range(20):  # the demo's calls may have all of its numbers at a moment
            async with session.get("/next-cid?to=2125551234&campaign=SALES&agent=") as asked:
                answer = await asked.json()
            if asked.status == 200:
                break
            await asyncio.sleep(0.5)
        async with session.get("/metrics") as metrics:
            refused = metrics.status

    assert healthy["status"] == "healthy"
    assert signed_in.status in (302, 303), await signed_in.text()
    assert "secure" in cookie.lower()
    assert dashboard.status == 200
    assert re.search(r"SALES", page)
    assert kind.startswith("text/event-stream")
    assert pages[-1] - pages[0] > 1.0, "the pages came all at once: the proxy held them back"
    assert asked.status == 200, asked.headers.get("X-Rotator-Reason")
    assert re.fullmatch(r"\d{10}", answer["caller_id"])
    assert refused == 403


@pytest.mark.parametrize("proxy", PROXIES)
async def test_only_the_networks_of_the_dialers_are_let_through_to_next_cid(
    proxy: str, demo_daemon: DaemonProcess, tmp_path: Path
) -> None:
    folder, port = tmp_path / proxy, free_port()
    folder.mkdir()
    command = _command(proxy, folder, demo_daemon.base_url.removeprefix("http://"), port, "10.9.8.0/24")
    async with _running(command, folder), _browser(folder, port) as session:
        await _up(session, folder)
        async with session.get("/next-cid?to=2125551234&campaign=SALES&agent=") as asked:
            body = await asked.text()

    assert asked.status == 403
    assert "caller_id" not in body
