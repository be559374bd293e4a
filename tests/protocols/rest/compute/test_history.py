"""What was done to servers, as each version shows it."""

from __future__ import annotations

from typing import Any

from sqlalchemy import insert, select, update

from cloudd.compute import EVENT_ERROR, State, begin_action, note_event
from cloudd.database import tables

from .server_cloud import ADMIN, ALICE, BOB, HOST, READER, ServerCase

VERSIONS = ("2.1", "2.21", "2.50", "2.51", "2.57", "2.58", "2.62", "2.66", "2.79")
SECOND = 1_000_000


class HistoryTests(ServerCase):
    def note(self, server_id: str, *names: str) -> None:
        """Actions, a second apart from 1970-01-01T00:00:01 on, each with a request of its name."""
        columns, access = tables.server_action.c, self.client_access(ALICE)
        with self.database.engine.begin() as connection:
            for place, name in enumerate(names, 1):
                begin_action(connection, access, server_id, name, f"req-{name}")
                mine = (columns.server_id == server_id, columns.request_id == f"req-{name}")
                times = {"started_us": place * SECOND, "updated_us": place * SECOND}
                connection.execute(update(tables.server_action).where(*mine).values(**times))

    def event(self, server_id: str, request_id: str, **values: Any) -> None:
        """A piece of work that failed."""
        columns = tables.server_action.c
        with self.database.engine.begin() as connection:
            query = select(columns.id).where(columns.server_id == server_id, columns.request_id == request_id)
            row: dict[str, Any] = {
                "id": f"e-{request_id}", "action_id": connection.execute(query).scalar_one(),
                "name": "compute_stop_instance", "host": HOST, "result": "Error", "details": "boom",
                "started_us": SECOND, "finished_us": 2 * SECOND,
            }  # fmt: skip
            connection.execute(insert(tables.server_event).values(**row | values))

    async def names(self, server_id: str, query: str = "", version: str = "2.79") -> list[str]:
        """Of one page."""
        path = f"/servers/{server_id}/os-instance-actions{query}"
        found = await self.fits("servers", "list_instance_actions", ALICE, "GET", path, version)
        return [each["action"] for each in found["instanceActions"]]

    async def test_each_version(self) -> None:
        """Listed and shown with the members of each version; newest first."""
        server_id = self.add()
        self.note(server_id, "create", "stop")
        self.event(server_id, "req-stop")
        for version in VERSIONS:
            self.assertEqual(await self.names(server_id, version=version), ["stop", "create"])
            path = f"/servers/{server_id}/os-instance-actions/req-stop"
            for who in (READER, ADMIN):
                if version in ("2.1", "2.21", "2.50") and who == READER:
                    shown = (await self.good(200, who, "GET", path, None, version))["instanceAction"]
                    self.assertNotIn("events", shown)
                    continue
                found = await self.fits("servers", "show_instance_action", who, "GET", path, version)
                self.check(found["instanceAction"], version, who == ADMIN)

    def check(self, shown: dict[str, Any], version: str, is_admin: bool) -> None:
        minor = int(version[2:])
        self.assertEqual((shown["start_time"], shown["request_id"]), ("1970-01-01T00:00:02.000000", "req-stop"))
        self.assertEqual("updated_at" in shown, minor >= 58)
        (event,) = shown["events"]
        self.assertEqual((event["event"], event["result"]), ("compute_stop_instance", "Error"))
        self.assertEqual("traceback" in event, is_admin)
        self.assertEqual("host" in event, is_admin and minor >= 62)
        if minor >= 62:
            self.assertEqual(len(event["hostId"]), 56)

    async def test_pages(self) -> None:
        """From 2.58 on, with a link to the next one; by times."""
        server_id = self.add()
        self.note(server_id, "create", "stop", "start")
        path = f"/servers/{server_id}/os-instance-actions"
        found = await self.fits("servers", "list_instance_actions", ALICE, "GET", f"{path}?limit=2", "2.58")
        self.assertEqual([each["action"] for each in found["instanceActions"]], ["start", "stop"])
        (link,) = found["links"]
        self.assertEqual(link["href"], f"http://cloud:5000/compute/v2.1{path}?limit=2&marker=req-stop")
        self.assertEqual(await self.names(server_id, "?limit=2&marker=req-stop"), ["create"])
        self.assertEqual(await self.names(server_id, "?changes-since=1970-01-01T00:00:02Z"), ["start", "stop"])
        self.assertEqual(await self.names(server_id, "?changes-before=1970-01-01T00:00:02Z"), ["stop", "create"])
        for query, version in (
            ("marker=req-none", "2.58"), ("limit=-1", "2.58"), ("changes-since=x", "2.58"), ("x=1", "2.58"),
            ("changes-before=1970-01-01T00:00:02Z", "2.65"),
            ("changes-since=1970-01-01T00:00:03Z&changes-before=1970-01-01T00:00:02Z", "2.66"),
        ):  # fmt: skip
            await self.refused(400, "badRequest", ALICE, "GET", f"{path}?{query}", None, version)

    async def test_of_one_that_is_gone(self) -> None:
        """From 2.21 on."""
        server_id = self.add(State.DELETED)
        self.write(server_id, deleted_us=5)
        self.note(server_id, "delete")
        self.assertEqual(await self.names(server_id, version="2.21"), ["delete"])
        for path in ("", "/req-delete"):
            await self.refused(404, "itemNotFound", ALICE, "GET", f"/servers/{server_id}/os-instance-actions{path}",
                               None, "2.20")  # fmt: skip

    async def test_failed(self) -> None:
        """That it failed is told with the action, and why with the event, to administrators."""
        server_id = self.add()
        self.note(server_id, "stop")
        with self.database.engine.begin() as connection:
            note_event(connection, server_id, "req-stop", "compute_stop_instance", host=HOST, result=EVENT_ERROR,
                       details="it would not")  # fmt: skip
        for who, told in ((ALICE, {}), (ADMIN, {"traceback": "it would not"})):
            shown = await self.good(200, who, "GET", f"/servers/{server_id}/os-instance-actions/req-stop", None, "2.51")
            action = shown["instanceAction"]
            self.assertEqual((action["message"], action["events"][0]["result"]), ("Error", "Error"))
            self.assertEqual({name: action["events"][0].get(name) for name in told}, told)

    async def test_rights(self) -> None:
        """Another project's server is not there, nor is a request that was not for it."""
        server_id, other = self.add(), self.add()
        self.note(server_id, "stop")
        path = f"/servers/{server_id}/os-instance-actions"
        for who, own in ((BOB, path), (BOB, f"{path}/req-stop"), (ALICE, f"{path}/req-none"),
                         (ALICE, f"/servers/{other}/os-instance-actions/req-stop")):  # fmt: skip
            await self.refused(404, "itemNotFound", who, "GET", own)
