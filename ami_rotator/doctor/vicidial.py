"""VICIdial's database: whether it lets us in, has the tables, and gives the rights that are used and no more."""

from __future__ import annotations

from collections.abc import Sequence

from ami_rotator.doctor.findings import Finding, Patient
from ami_rotator.foresight import parts_used, vicidial_address
from ami_rotator.vicidial.connection import VicidialConnection
from ami_rotator.vicidial.errors import VicidialError
from ami_rotator.vicidial.grants import check_grants
from ami_rotator.vicidial.schema import check_schema


async def vicidial(patient: Patient) -> Sequence[Finding]:
    """Check the database where one is configured."""
    address = vicidial_address(patient.settings)
    if address is None:
        return []
    parts = parts_used(patient.settings)
    connection = VicidialConnection(address, purpose="doctor", query_limit_s=5)
    try:
        await connection.open()
        for part in parts:
            await check_schema(connection, part)
        wrong = await check_grants(connection, parts)
    except VicidialError as error:
        return [
            Finding(
                "vicidial",
                "problem",
                str(error),
                "see VICIDIAL_DATABASE_URL, and the account: ami-rotator vicidial grants. Calls are served by AMI and HTTP"
                " meanwhile",
            )
        ]
    finally:
        connection.close()
    if not wrong:
        return [
            Finding("vicidial", "ok", f"VICIdial's database ({connection.version}) gives the rights that are used", "")
        ]
    return [Finding("vicidial", item.level, item.what, item.fix) for item in wrong]
