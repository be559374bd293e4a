"""
A host whose disk is full while a guest's files are written: a real file system of 1 MiB below the simulated driver.

What qemu-img does there is in ``tests.drivers.test_libvirt_disks``.
"""

from __future__ import annotations

from cloudd.compute import BUILD, DELETE, REBUILD, SNAPSHOT, Doing, State
from cloudd.interfaces.servers import Power
from tests.small_disk import fill, small_disk

from .host import one_interface, place
from .test_steps import SERVER, StepsCase

FULL = "the disk of this host is full"


class FullDiskTests(StepsCase):
    async def setUp(self) -> None:  # type: ignore[override]
        await super().setUp()
        small_disk(self, "1m", self.folder)
        await self.host.ready_driver()
        self.work()

    async def fault(self) -> str:
        """What administrators read."""
        server = await self.server()
        assert server.fault is not None
        return server.fault.details

    async def test_build(self) -> None:
        """After the last host: in error with the cause; nothing is left, and it is no guest of the driver's."""
        filler = fill(self.folder)
        await self.write(place, SERVER, networks=one_interface(self.network_id))
        self.assertEqual((await self.order(BUILD, tries=2, avoid=["a", "b"]))["state"], "failed")
        self.assertIn(FULL, await self.fault())
        found = await self.told()
        self.assertEqual((found["state"], found["host"], found["ports"], found["server_claims"]), ("error", "", 0, 0))
        self.assertEqual(await self.host.driver.guests(), [])
        self.assertEqual([each for each in self.simulated.rglob("*") if each.is_file() and SERVER in str(each)], [])
        self.assertEqual((filler.exists(), self.host.plugs.plugged), (True, 0))

    async def test_rebuild(self) -> None:
        """In error with the cause; rebuilt again when there is room, or deleted while there is none."""
        await self.built()
        filler = fill(self.folder)
        self.assertEqual((await self.order(REBUILD, Doing.REBUILDING, state="active"))["state"], "failed")
        self.assertEqual((await self.server()).state, State.ERROR)
        self.assertIn(FULL, await self.fault())
        filler.unlink()
        self.assertEqual((await self.order(REBUILD, Doing.REBUILDING, state="active"))["state"], "done")
        server = await self.server()
        self.assertEqual((server.state, server.fault, self.record()["power"]), (State.ACTIVE, None, Power.RUNNING))
        fill(self.folder)
        self.assertEqual((await self.order(DELETE, Doing.DELETING))["state"], "done")
        found = await self.told()
        self.assertEqual((found["deleted"], found["ports"], await self.host.driver.guests()), (True, 0, []))

    async def test_snapshot(self) -> None:
        """The server goes on as it was, with the cause; no image and no half file stay."""
        await self.built()
        filler = fill(self.folder)
        row = await self.order(SNAPSHOT, Doing.IMAGE_SNAPSHOT, image_id="image")
        self.assertEqual(row["state"], "failed")
        server = await self.server()
        self.assertEqual((server.state, server.doing), (State.ACTIVE, None))
        self.assertIn(FULL, await self.fault())
        self.assertEqual(list((self.folder / "snapshots").iterdir()), [])
        filler.unlink()
        self.assertEqual((await self.order(SNAPSHOT, Doing.IMAGE_SNAPSHOT, image_id="image"))["state"], "done")
        self.assertTrue((self.folder / "kept" / "image").is_file())
