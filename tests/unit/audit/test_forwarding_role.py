"""The audit role tells of collectors that get nothing, and is ready all the same."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime

from isocenter.app import Process
from isocenter.audit.heads import read_heads
from isocenter.core.events import TOPIC_AUDIT, AuditAction, AuditEvent, AuditOutcome, Source
from isocenter.runtime.event_codec import encode
from isocenter.settings import load
from support.collectors import collecting
from support.ports import free_ports


async def test_a_collector_that_is_down_is_told_of_and_takes_nothing_down(tmp_path):
    [port] = free_ports(1)
    with collecting() as well:
        collectors = [
            {"name": "down", "url": f"syslog+tcp://127.0.0.1:{port}"},
            {"name": "well", "url": well.url},
        ]
        flags = {
            "audit.forward": json.dumps(collectors),
            "audit.heads_file": str(tmp_path / "nowhere" / "heads.jsonl"),
            "audit.seal_seconds": "0.01",
            "audit.linger_seconds": "0",
        }
        env = Process(load(flags=flags, data=tmp_path / "data"), ["audit"])
        (role,) = await env.build()
        await role.start()
        try:
            at = datetime.now(UTC)
            query = AuditEvent(AuditAction.QUERY, AuditOutcome.SUCCESS, Source("DIMSE"), at, "a")
            await (await env.bus()).append(TOPIC_AUDIT, [encode(query)])
            async with asyncio.timeout(30):
                while len(problems := (await role.service.state()).problems) < 2:
                    await asyncio.sleep(0.01)
            await asyncio.to_thread(well.wait, 2)
            assert list(env.readiness()) == []
        finally:
            await role.stop()
            await env.close()
    assert "records wait for down since" in problems[0]
    assert "heads cannot be written" in problems[1]
    assert well.ids[0] == "a"
    assert [head.last for head in read_heads([well.messages[1].decode()])] == [1]
