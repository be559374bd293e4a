"""Migrations: resizes, as they have gone."""

from __future__ import annotations

from typing import Any

from sqlalchemy import update

from cloudd.compute import EVENT_ERROR, Doing, State, begin_action, change_server, note_event
from cloudd.database import tables

from .server_cloud import ADMIN, ALICE, BOB, HOST, ServerCase

PATH = "/os-migrations"
VERSIONS = ("2.1", "2.22", "2.23", "2.58", "2.59", "2.66", "2.79")
SECOND = 1_000_000


class MigrationTests(ServerCase):
    def note(self, server_id: str, action: str, second: int, message: str | None = None) -> None:
        """An action, so many seconds after 1970 began."""
        request_id, columns = f"req-{server_id}-{second}", tables.server_action.c
        with self.database.engine.begin() as connection:
            begin_action(connection, self.client_access(ALICE), server_id, action, request_id)
            if message is not None:
                note_event(connection, server_id, request_id, action, result=EVENT_ERROR, details=message)
            times = {"started_us": second * SECOND, "updated_us": second * SECOND}
            connection.execute(update(tables.server_action).where(columns.request_id == request_id).values(**times))

    async def found(self, query: str = "", version: str = "2.79") -> list[dict[str, Any]]:
        document = await self.fits("migrations", "list_migrations", ADMIN, "GET", PATH + query, version)
        return list(document["migrations"])

    async def statuses(self, query: str) -> list[str]:
        return [each["status"] for each in await self.found(query)]

    async def test_fits(self) -> None:
        """Newest first, with the members of each version; by server, host, status and kind."""
        for version in VERSIONS:
            self.assertEqual(await self.found(version=version), [])
        one, two = self.add(State.RESIZED), self.add()
        self.note(one, "create", 1)
        self.note(one, "resize", 2)
        self.note(two, "resize", 3)
        self.note(two, "confirmResize", 4)
        for version in VERSIONS:
            found = await self.found(version=version)
            self.assertEqual([each["instance_uuid"] for each in found], [two, one], version)
            self.assertEqual({each["dest_compute"] for each in found}, {HOST})
        for query, count in (
            (f"instance_uuid={one}", 1), ("status=confirmed", 1), ("status=x", 0), (f"host={HOST}", 2), ("host=x", 0),
            (f"source_compute={HOST}", 2), ("migration_type=resize", 2), ("migration_type=live-migration", 0),
            ("hidden=1", 0), ("hidden=0", 2), ("changes-since=1970-01-01T00:00:03", 1),
            ("changes-before=1970-01-01T00:00:03", 1),
        ):  # fmt: skip
            self.assertEqual(len(await self.found(f"?{query}")), count, query)

    async def test_status(self) -> None:
        """From what was asked of a server since, and what it is now."""
        server_id = self.add(doing=Doing.RESIZE_PREP)
        query = f"?instance_uuid={server_id}"
        self.note(server_id, "resize", 1)
        self.assertEqual(await self.statuses(query), ["migrating"])
        for state, doing, action, status in (
            (State.RESIZED, None, "", "finished"),
            (State.RESIZED, Doing.RESIZE_REVERTING, "revertResize", "reverting"),
            (State.ACTIVE, None, "", "reverted"),
        ):
            with self.database.engine.begin() as connection:
                change_server(connection, server_id, state=state.value, task_state=doing.value if doing else None)
            if action:
                self.note(server_id, action, 2)
            self.assertEqual(await self.statuses(query), [status])
        self.note(server_id, "resize", 3, "no room")
        self.assertEqual(await self.statuses(query), ["error", "reverted"])
        self.note(server_id, "resize", 4)
        self.note(server_id, "confirmResize", 5)
        self.assertEqual(await self.statuses(query), ["confirmed", "error", "reverted"])
        self.note(server_id, "resize", 6)
        self.note(server_id, "revertResize", 7, "no disk")
        self.note(server_id, "resize", 8)
        self.assertEqual((await self.statuses(query))[:2], ["done", "error"])

    async def test_pages(self) -> None:
        """From 2.59 on."""
        server_id = self.add()
        for second in range(5):
            self.note(server_id, "resize", second)
        path, pages = f"{PATH}?limit=2", []
        while path:
            document = await self.good(200, ADMIN, "GET", path, None, "2.59")
            pages.append(len(document["migrations"]))
            links = document.get("migrations_links", [{"href": ""}])
            path = links[0]["href"].rpartition("/v2.1")[2]
        self.assertEqual(pages, [2, 2, 1])
        for bad in ("marker=x", "limit=x", "limit=-1", "x=1", "changes-since=x", "marker=" + "0" * 32):
            await self.refused(400, "badRequest", ADMIN, "GET", f"{PATH}?{bad}", None, "2.59")
        order = "changes-since=2020-01-02&changes-before=2020-01-01"
        await self.refused(400, "badRequest", ADMIN, "GET", f"{PATH}?{order}", None, "2.66")
        await self.good(200, ADMIN, "GET", f"{PATH}?x=1&limit=x", None, "2.58")
        await self.refused(403, "forbidden", ALICE, "GET", PATH)

    async def test_of_a_server(self) -> None:
        """None moves while it runs."""
        path = f"/servers/{self.add()}/migrations"
        self.assertEqual(await self.good(200, ADMIN, "GET", path, None, "2.23"), {"migrations": []})
        await self.refused(404, "itemNotFound", ADMIN, "GET", path, None, "2.22")
        await self.refused(403, "forbidden", ALICE, "GET", path, None, "2.23")
        await self.refused(404, "itemNotFound", BOB, "GET", path, None, "2.23")
        for method, own in (("GET", f"{path}/1"), ("DELETE", f"{path}/1"), ("POST", f"{path}/1/action")):
            cause = await self.refused(404, "itemNotFound", ADMIN, method, own, None, "2.24")
            self.assertIn("Migration 1 for server", cause)
            await self.refused(403, "forbidden", ALICE, method, own, None, "2.24")
