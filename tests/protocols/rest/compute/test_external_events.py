"""Events that other services tell of servers."""

from __future__ import annotations

import uuid
from typing import Any

from cloudd.compute import State

from .server_cloud import ADMIN, ALICE, ServerCase

PATH = "/os-server-external-events"


class ExternalEventTests(ServerCase):
    def event(self, server_id: str, name: str = "network-changed", **more: Any) -> dict[str, Any]:
        return {"name": name, "server_uuid": server_id, **more}

    async def test_fits(self) -> None:
        """Each is answered as completed, or as it was said to be."""
        server_id = self.add()
        for version in ("2.1", "2.51", "2.79"):
            for name in ("network-changed", "network-vif-plugged", "network-vif-unplugged", "network-vif-deleted"):
                body = {"events": [self.event(server_id, name), self.event(server_id, name, tag="t", status="failed")]}
                found = await self.fits("server_external_events", "create", ADMIN, "POST", PATH, version, body)
                self.assertEqual(
                    [(each["status"], each["code"], each.get("tag")) for each in found["events"]],
                    [("completed", 200, None), ("failed", 200, "t")],
                )

    async def test_partly(self) -> None:
        """207 where some servers are not there, or on no host; 404 where none is."""
        server_id, none = self.add(), str(uuid.uuid4())
        waiting = self.add(State.BUILDING, node_id="", host="")
        events = [self.event(each) for each in (server_id, none, waiting)]
        found = await self.good(207, ADMIN, "POST", PATH, {"events": events})
        self.assertEqual([(each["code"], each["status"]) for each in found["events"]],
                         [(200, "completed"), (404, "failed"), (422, "failed")])  # fmt: skip
        cause = await self.refused(404, "itemNotFound", ADMIN, "POST", PATH, {"events": events[1:]})
        self.assertEqual(cause, "No instances found for any event")

    async def test_refused(self) -> None:
        """What is none, by version; and others than administrators."""
        server_id = self.add()
        event = self.event(server_id)
        bodies: tuple[dict[str, Any], ...] = (
            {}, {"events": []}, {"events": {}}, {"events": [{}]}, {"events": [1]}, {"events": [event | {"x": 1}]},
            {"events": [event | {"name": "dance"}]}, {"events": [event | {"server_uuid": "x"}]},
            {"events": [event | {"status": "x"}]}, {"events": [event | {"tag": "t" * 256}]},
            {"events": [event | {"name": "volume-extended"}]}, {"events": [event | {"name": "power-update"}]},
            {"events": [event], "x": 1},
        )  # fmt: skip
        for bad in bodies:
            await self.refused(400, "badRequest", ADMIN, "POST", PATH, bad)
        power = event | {"name": "power-update"}
        await self.refused(400, "badRequest", ADMIN, "POST", PATH, {"events": [power]}, "2.76")
        await self.good(200, ADMIN, "POST", PATH, {"events": [power | {"tag": "POWER_ON"}]}, "2.76")
        await self.good(200, ADMIN, "POST", PATH, {"events": [event | {"name": "volume-extended"}]}, "2.51")
        await self.refused(403, "forbidden", ALICE, "POST", PATH, {"events": [event]})
