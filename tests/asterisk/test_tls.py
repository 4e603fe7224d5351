"""AMI over TLS, on a real Asterisk: served where the certificate is the right one, told in words where it is not."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from ami_rotator.ami.stanza import manager_conf
from tests.asterisk.rotator_lab import ACCOUNT, CAMPAIGN, ended_calls, hooked, import_numbers, mixed_plan, settings_for
from tests.asterisk.vicidial_lab import vicidial_lab
from tests.support.asterisk_lab import SECRET, DialerOptions, free_port
from tests.support.certificates import new_authority
from tests.support.daemon_process import daemon, run_command
from tests.support.pool_load import until

pytestmark = [pytest.mark.thorough, pytest.mark.asterisk, pytest.mark.timeout(1200)]


@pytest.fixture
def shared_folder(asterisk_root: Path) -> Iterator[Path]:
    """A folder that Asterisk sees too, and may read; removed like a run's where the tests are killed."""
    runs = asterisk_root / "srv" / "lab"
    runs.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=f"{os.getpid()}-tls-", dir=runs))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


async def test_only_the_right_certificate_is_trusted_and_one_that_is_put_right_is_found(
    asterisk_root: Path, redis_url: str, database_dsn: str, tmp_path: Path, shared_folder: Path
) -> None:
    ours, other = new_authority(tmp_path, "ours"), new_authority(tmp_path, "other")
    certificate, key = shared_folder / "certificate.pem", shared_folder / "key.pem"

    def present(names: str) -> None:
        ours.sign(names, certificate, key)
        key.chmod(0o644)

    present("DNS:localhost")
    tls_port, api_port = free_port(), free_port()
    inside = Path("/") / shared_folder.relative_to(asterisk_root)
    options = hooked(api_port)
    options = DialerOptions(
        carrier_entry=options.carrier_entry,
        manager_users=manager_conf(ACCOUNT, SECRET),
        manager_general=(
            f"tlsenable=yes\ntlsbindaddr=127.0.0.1:{tls_port}\n"
            f"tlscertfile={inside / certificate.name}\ntlsprivatekey={inside / key.name}\n"
        ),
    )
    async with vicidial_lab(asterisk_root, options=options) as lab:
        common = {"username": ACCOUNT, "secret": SECRET, "tls": True, "port": tls_port, "host": "localhost"}
        # Those that must not get in would change nothing if they did.
        watching = {**common, "mode": "observe", "dial_prefixes": {"7": None}}
        dialers = [
            {**common, "name": "lab", "tls_ca": str(ours.certificate), "dial_prefixes": {"9": CAMPAIGN}},
            {**watching, "name": "other-ca", "tls_ca": str(other.certificate)},
            {**watching, "name": "no-ca"},
            {**watching, "name": "other-name", "tls_ca": str(ours.certificate), "host": "127.0.0.1"},
            {**watching, "name": "plain-port", "tls_ca": str(ours.certificate), "port": lab.asterisk.ami_port},
        ]
        settings = {**settings_for(lab, redis_url, database_dsn, api_port), "DIALERS": json.dumps(dialers)}
        await import_numbers(tmp_path, settings, per_area=20)
        async with daemon(tmp_path, settings) as running:

            async def states() -> dict[str, str]:
                found: dict[str, str] = json.loads((await running.get("/health"))[1])["dialers"]
                return found

            async def tries(name: str) -> float:
                wanted = f'rotator_dialer_reconnects_total{{dialer="{name}"}}'
                _, metrics = await running.get("/metrics")
                return next(float(line.rsplit(" ", 1)[1]) for line in metrics.splitlines() if line.startswith(wanted))

            async def all_tried_again() -> bool:
                return all([await tries(name) >= 2 for name in ("other-ca", "no-ca", "other-name", "plain-port")])

            await until(all_tried_again, 60)
            found = await states()
            said = running.log.read_text()
            placed = await lab.dialer.run(mixed_plan(8), rate_per_s=8)
            await lab.settle()
            rows = await ended_calls(database_dsn, len(placed))

            _, advised = await run_command(tmp_path, settings, "doctor")

            # The dialer gets a certificate that has the other name too.
            present("DNS:localhost,IP:127.0.0.1")
            await lab.asterisk.reload_manager()

            async def is_mended() -> bool:
                return (await states())["other-name"] == "up"

            await until(is_mended, 30)

    assert found.pop("plain-port") in ("down", "connecting")
    assert found == {"lab": "up", "other-ca": "untrusted", "no-ca": "untrusted", "other-name": "untrusted"}
    for name, words in {
        "other-ca": "name its CA in tls_ca of this dialer",
        "no-ca": "name its CA in tls_ca of this dialer",
        "other-name": "write as host of this dialer a name that is in the certificate",
        "plain-port": "is it the port of tlsbindaddr in manager.conf?",
    }.items():
        told = [line for line in said.splitlines() if name in line and "not connected" in line]
        # Once, not at each try.
        assert [words in line for line in told] == [True], told
        assert words in advised or name == "plain-port"
    shown = {call.from_name: call.from_number for call in lab.carrier.calls}
    assert shown == {row["code"]: row["caller_id"].removeprefix("+1") for row in rows}
    assert {row["dialer"] for row in rows} == {"lab"}
