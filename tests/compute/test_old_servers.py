"""Servers that are gone are forgotten after their time, with their history and nothing else."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import Any, cast

from sqlalchemy import Connection, func, insert, select, update
from twisted.internet import reactor
from twisted.trial.unittest import TestCase

from cloudd.compute import (
    Interface,
    OldServers,
    add_interface,
    forget_old_servers,
    gone,
    has_old_servers,
    note_event,
    read_server,
)
from cloudd.compute.servers import _old
from cloudd.database import now_us, open_control_database, tables
from cloudd.interfaces.application import Host, Resources
from cloudd.interfaces.settings import ComputeSettings, Settings
from cloudd.tasks import Form, submit
from tests.database.choice import new_database
from tests.guests.host import REQUEST, act, furnish, place

DAY_S, DAY_US = 86_400, 86_400_000_000
TABLES = ("server", "server_action", "server_event", "server_tag", "server_interface", "server_claim", "server_share")


def counts(connection: Connection) -> dict[str, int]:
    """Rows of each table."""
    return {
        each: connection.execute(select(func.count()).select_from(getattr(tables, each))).scalar_one()
        for each in TABLES
    }


class OldServersCase(TestCase):
    async def setUp(self) -> None:  # type: ignore[override]
        self.database = open_control_database(new_database(self), reactor=reactor, threads=1)
        self.addCleanup(self.database.close)
        await self.database.write(furnish)

    async def add(self, days: float | None = None, actions: int = 1) -> str:
        """
        A server with a tag and a history.

        :param days: so long ago it was deleted; None: it was not
        """
        server_id = str(uuid.uuid4())

        def write(connection: Connection) -> None:
            place(connection, server_id)
            for number in range(1, actions):
                act(connection, server_id, "reboot", f"req-{number}")
            note_event(connection, server_id, REQUEST, "compute_event")
            connection.execute(insert(tables.server_tag).values(server_id=server_id, tag="a"))
            if days is not None:
                gone(connection, server_id)
                row = update(tables.server).where(tables.server.c.id == server_id)
                connection.execute(row.values(deleted_us=now_us() - int(days * DAY_US)))

        await self.database.write(write)
        return server_id

    async def counts(self) -> dict[str, int]:
        found: dict[str, int] = await self.database.read(counts)
        return found

    async def forget(self) -> bool:
        more: bool = await self.database.write(forget_old_servers, 90 * DAY_S)
        return more

    def part(self, role: str = "agent", days: float = 90) -> OldServers:
        settings = Settings(state=Path(self.mktemp()), compute=ComputeSettings(keep_deleted_days=days))
        lent: Any = {"threads": None, "metrics": None}
        resources = Resources(
            reactor=reactor,
            settings=settings,
            database=self.database,
            object_index=self.database,
            host=cast(Host, None),
            role=role,
            generation=1,
            urls={},
            secrets=Path("/nowhere"),
            **lent,
        )
        part = OldServers(resources)
        self.addCleanup(part.retire)
        return part


class ForgettingTests(OldServersCase):
    async def test_old_ones(self) -> None:
        """Those that live, and those that went lately, stay; what was used is told for longer."""
        stay = [await self.add(), await self.add(89.9)]
        await self.add(90.1)
        await self.add(400)
        before = await self.counts()
        self.assertTrue(await self.database.read(has_old_servers, 90 * DAY_S))
        self.assertFalse(await self.forget(), "there are no more")
        self.assertFalse(await self.database.read(has_old_servers, 90 * DAY_S))
        after = await self.counts()
        self.assertEqual(after, {**before, "server": 2, "server_action": 2, "server_event": 2, "server_tag": 2})
        self.assertEqual([(await self.database.read(read_server, each)).id for each in stay], stay)

    async def test_nothing_left_by_a_rest(self) -> None:
        """Rows of a server that its deletion should have removed go with it at the latest."""
        server_id = await self.add(91)
        left = Interface(port_id="port", position=0)
        await self.database.write(add_interface, server_id, left)
        await self.forget()
        found = await self.counts()
        self.assertEqual(
            {name: found[name] for name in TABLES if name != "server_share"}, dict.fromkeys(TABLES[:-1], 0)
        )

    async def test_batches(self) -> None:
        """The oldest first, and no more rows than that at once, also of one with a long history."""
        self.patch(_old, "SERVERS", 2)
        self.patch(_old, "ACTIONS", 4)
        young, _ = await self.add(91), [await self.add(92 + each, actions=3) for each in range(4)]
        seen = []
        while await self.forget():
            found = await self.counts()
            seen.append((found["server"], found["server_action"]))
        # Four of an old pair's six actions, then the others and the pair; the same of the next one.
        self.assertEqual(seen, [(5, 9), (3, 7), (3, 3), (1, 1)])
        self.assertEqual((await self.counts())["server"], 0, young)

    async def test_worked_on(self) -> None:
        """Its host was away for so long, and has still something to do for it."""
        server_id = await self.add(91)
        form = Form(name="test.work")
        task_id = await self.database.write(lambda c: submit(c, form, {}, resource=server_id))
        self.assertFalse(await self.database.read(has_old_servers, 90 * DAY_S))
        await self.forget()
        self.assertEqual((await self.counts())["server"], 1)
        ended = update(tables.task).where(tables.task.c.id == task_id).values(state="done")
        await self.database.write(lambda c: c.execute(ended))
        await self.forget()
        self.assertEqual((await self.counts())["server"], 0)


class PartTests(OldServersCase):
    async def test_looks(self) -> None:
        """All that are old, in as many batches as it takes."""
        self.patch(_old, "SERVERS", 2)
        for _ in range(5):
            await self.add(91)
        await self.add(1)
        await self.part().look()
        self.assertEqual((await self.counts())["server"], 1)

    async def test_who_looks(self) -> None:
        """The agent's worker alone, and nobody where they are kept for good."""
        for part in (self.part("front"), self.part(days=0)):
            part.lead()
            self.assertIsNone(part._timer)
        part = self.part()
        part.lead()
        part.lead()
        assert part._timer is not None
        self.assertTrue(part._timer.running)
        part.retire()
        self.assertFalse(part._timer.running)
        await self.add(91)
        await part.look()
        self.assertEqual((await self.counts())["server"], 1, "one that was retired writes nothing")

    async def test_database_away(self) -> None:
        """It is tried again, and nothing escapes."""
        await self.add(91)
        part = self.part()
        self.database.close()
        await part.look()
