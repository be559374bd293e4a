"""Resizes, snapshots and backups."""

from __future__ import annotations

from typing import Any

from sqlalchemy import delete, select, update

from cloudd import compute as service
from cloudd.compute import Doing, Flavor, State
from cloudd.database import tables
from cloudd.image import BACKUP, Image, backups_beyond
from cloudd.image import _rows as image_rows

from .server_cloud import ADMIN, ALICE, IMAGE, NODE, ServerCase


class ResizeTests(ServerCase):
    def setUp(self) -> None:
        super().setUp()
        with self.database.engine.begin() as connection:
            for flavor_id, vcpus, ram, disk in (("big", 4, 4_096, 20), ("flat", 1, 512, 0), ("huge", 9, 512, 20),
                                                ("wide", 30, 512, 20)):  # fmt: skip
                wanted = Flavor(
                    id="", flavor_id=flavor_id, name=flavor_id, ram_mib=ram, vcpus=vcpus, disk_gib=disk
                )  # fmt: skip
                service.create_flavor(connection, self.client_access(ADMIN), wanted)

    def used(self) -> tuple[int, int]:
        """Cores and RAM of the project."""
        with self.database.engine.begin() as connection:
            found = service.used_by(connection, "p1")
        return found["cores"], found["ram"]

    def claims(self, server_id: str) -> dict[str, int]:
        """Purpose -> vCPUs."""
        columns = tables.server_claim.c
        with self.database.engine.begin() as connection:
            query = select(columns.purpose, columns.vcpus).where(columns.server_id == server_id)
            return {row.purpose: row.vcpus for row in connection.execute(query)}

    def settle(self, server_id: str, state: State) -> None:
        """The host has done its task."""
        self.write(server_id, state=state.value, task_state=None)
        self.forget_tasks()

    async def test_larger(self) -> None:
        """Both sizes are held until it is decided; then one of them."""
        small, big = self.flavor("1"), self.flavor("big")
        server_id = self.add(State.STOPPED)
        await self.act(202, server_id, {"resize": {"flavorRef": "big", "OS-DCF:diskConfig": "AUTO"}})
        row = self.row(server_id)
        self.assertEqual((row.flavor, row.flavor_before, row.doing), (big.id, small.id, Doing.RESIZE_PREP))
        self.assertEqual(row.disk_config, "AUTO")
        payload = {"server_id": server_id, "state": "stopped"}
        self.assertEqual(self.tasks(), [("compute.resize_server", NODE, payload)])
        self.assertEqual((self.used(), self.claims(server_id)), ((4, 4_096), {"server": 1, "resize": 4}))
        self.settle(server_id, State.RESIZED)
        await self.act(204, server_id, {"confirmResize": None})
        self.assertEqual(self.row(server_id).doing, Doing.RESIZE_CONFIRMING)
        self.assertEqual(self.tasks(), [("compute.confirm_resize", NODE, {"server_id": server_id})])
        self.assertEqual(self.used(), (4, 4_096))
        self.assertEqual([each[0] for each in self.history(server_id)], ["resize", "confirmResize"])

    async def test_back(self) -> None:
        """Both are held until the host has taken it back."""
        server_id = self.add()
        await self.act(202, server_id, {"resize": {"flavorRef": "big"}})
        self.settle(server_id, State.RESIZED)
        await self.act(202, server_id, {"revertResize": None})
        self.assertEqual(self.row(server_id).doing, Doing.RESIZE_REVERTING)
        self.assertEqual(self.tasks(), [("compute.revert_resize", NODE, {"server_id": server_id})])
        self.assertEqual((self.used(), self.claims(server_id)), ((4, 4_096), {"server": 1, "resize": 4}))

    async def test_smaller(self) -> None:
        """The larger of both is counted until it is confirmed."""
        with self.database.engine.begin() as connection:
            wanted = Flavor(id="", flavor_id="less", name="less", ram_mib=128, vcpus=1, disk_gib=20)
            service.create_flavor(connection, self.client_access(ADMIN), wanted)
        server_id = self.add(flavor="big")
        await self.act(202, server_id, {"resize": {"flavorRef": "less"}})
        self.assertEqual(self.used(), (4, 4_096))
        self.settle(server_id, State.RESIZED)
        await self.act(204, server_id, {"confirmResize": None})
        self.assertEqual(self.used(), (1, 128))

    async def test_refused(self) -> None:
        """The same flavor, none, a smaller disk, no room on the host, no quota: nothing is written."""
        server_id = self.add(flavor="big")
        path = f"/servers/{server_id}/action"
        for flavor, words in (
            ("big", "When resizing, instances must change flavor!"), ("none", "Flavor none could not be found."),
            ("1", "the disk of flavor m1.tiny is smaller"), ("flat", "Resize to zero disk flavor is not allowed."),
            ("huge", "No valid host was found."),
        ):  # fmt: skip
            self.assertIn(words, await self.bad(server_id, {"resize": {"flavorRef": flavor}}))
        cause = await self.refused(403, "forbidden", ALICE, "POST", path, {"resize": {"flavorRef": "wide"}})
        self.assertIn("Quota exceeded for cores", cause)
        row = self.row(server_id)
        self.assertEqual((row.flavor_before, row.doing, self.tasks(), self.used()), (None, None, [], (4, 4_096)))
        self.assertEqual(self.claims(server_id), {"server": 4})

    async def test_image_that_is_larger(self) -> None:
        """Than the disk of a flavor, where the server's disk is as large as its image: it cannot get that one."""
        columns = tables.image.c
        with self.database.engine.begin() as connection:
            larger = update(tables.image).where(columns.id == IMAGE).values(virtual_size=30 << 30)
            connection.execute(larger)
        server_id = self.add(flavor="flat")
        cause = await self.bad(server_id, {"resize": {"flavorRef": "big"}})
        self.assertIn("Flavor's disk is too small for requested image.", cause)

    async def test_states(self) -> None:
        """Nothing to confirm or take back where there is no resize."""
        server_id = self.add()
        for name in ("confirmResize", "revertResize"):
            cause = await self.conflict(server_id, {name: None})
            self.assertEqual(cause, f"Cannot '{name}' instance {server_id} while it is in vm_state active")
        paused = self.add(State.PAUSED)
        cause = await self.conflict(paused, {"resize": {"flavorRef": "big"}})
        self.assertEqual(cause, f"Cannot 'resize' instance {paused} while it is in vm_state paused")


class SnapshotTests(ServerCase):
    async def snapshot(self, server_id: str, version: str = "2.45", **more: Any) -> str:
        """Id of the new image."""
        made = await self.act(202, server_id, {"createImage": {"name": "snap", **more}}, ALICE, version)
        return str(made["image_id"])

    async def test_image(self) -> None:
        """Is queued, and tells where it comes from, and what it was given; the host has a task to fill it."""
        server_id = self.add(State.PAUSED)
        image = self.image(await self.snapshot(server_id, metadata={"a": "b", "image_type": "mine"}))
        self.assertEqual((image.status, image.name, image.project_id), ("queued", "snap", "p1"))
        self.assertEqual((image.disk_format, image.container_format, image.visibility), ("qcow2", "bare", "private"))
        self.assertEqual((image.min_disk, image.min_ram), (self.flavor().disk_gib, 64))
        wanted = {
            "instance_uuid": server_id, "base_image_ref": IMAGE, "image_type": "mine", "user_id": "alice-id",
            "owner_id": "p1", "os_distro": "debian", "a": "b", "image_state": "available",
        }  # fmt: skip
        self.assertEqual({name: image.properties.get(name) for name in wanted}, wanted)
        payload = {"server_id": server_id, "image_id": image.id}
        self.assertEqual(self.tasks(), [("compute.snapshot_server", NODE, payload)])
        self.assertEqual(self.row(server_id).doing, Doing.IMAGE_SNAPSHOT)
        self.assertEqual(self.history(server_id), [("createImage", "alice-id", "p1")])

    async def test_fits(self) -> None:
        """Up to 2.44 the place is a header and there is no body."""
        path, body = f"/servers/{self.add()}/action", {"createImage": {"name": "snap"}}
        answer = await self.call(ALICE, "POST", path, body, "2.44")
        self.assertEqual((answer.status, answer.body), (202, b""))
        image_id = answer.headers["location"].rpartition("/")[2]
        self.assertEqual(answer.headers["location"], f"http://cloud:5000/image/v2/images/{image_id}")
        self.assertEqual(self.image(image_id).name, "snap")
        await self.fits("images", "create_image", ALICE, "POST", f"/servers/{self.add()}/action", "2.45", body)

    async def test_suspended(self) -> None:
        """It stays so."""
        server_id = self.add(State.SUSPENDED)
        image = self.image(await self.snapshot(server_id))
        self.assertEqual((image.status, self.row(server_id).state), ("queued", State.SUSPENDED))

    async def test_base_that_is_gone(self) -> None:
        """Has nothing to hand on."""
        server_id = self.add()
        with self.database.engine.begin() as connection:
            connection.execute(delete(tables.image).where(tables.image.c.id == IMAGE))
        image = self.image(await self.snapshot(server_id))
        self.assertEqual((image.min_ram, image.properties["base_image_ref"]), (0, IMAGE))

    async def test_refused(self) -> None:
        """While its resize waits; with too many properties; with as many images as may be."""
        server_id = self.add(State.RESIZED)
        cause = await self.conflict(server_id, {"createImage": {"name": "x"}})
        self.assertEqual(cause, f"Cannot 'createImage' instance {server_id} while it is in vm_state resized")
        path = f"/servers/{self.add()}/action"
        body = {"createImage": {"name": "x", "metadata": {f"k{n}": "v" for n in range(129)}}}
        await self.refused(403, "forbidden", ALICE, "POST", path, body)
        for _ in range(2):
            await self.snapshot(self.add())
        cause = await self.refused(403, "forbidden", ALICE, "POST", path, {"createImage": {"name": "x"}})
        self.assertIn("limit of 3 images", cause)


class BackupTests(ServerCase):
    def body(self, rotation: Any = 2, **more: Any) -> dict[str, Any]:
        """A daily one."""
        return {"createBackup": {"name": "b", "backup_type": "daily", "rotation": rotation, **more}}

    async def test_image(self) -> None:
        """A snapshot that tells its kind; its host is told how many are kept."""
        server_id = self.add()
        made = await self.act(202, server_id, self.body("2", metadata={"a": "b"}), ALICE, "2.45")
        image = self.image(made["image_id"])
        wanted = {"image_type": "backup", "backup_type": "daily", "instance_uuid": server_id, "a": "b"}
        self.assertEqual({name: image.properties.get(name) for name in wanted}, wanted)
        payload = {"server_id": server_id, "image_id": image.id, "rotation": 2}
        self.assertEqual(self.tasks(), [("compute.snapshot_server", NODE, payload)])
        self.assertEqual(self.row(server_id).doing, Doing.IMAGE_BACKUP)
        self.assertEqual(self.history(server_id), [("createBackup", "alice-id", "p1")])
        cause = await self.conflict(server_id, self.body())
        self.assertEqual(cause, f"Cannot 'createBackup' instance {server_id} while it is in task_state image_backup")

    async def test_place(self) -> None:
        """Up to 2.44 a header tells the image, where one is to stay."""
        for rotation, count in ((1, 1), (0, 0)):
            path = f"/servers/{self.add()}/action"
            answer = await self.call(ALICE, "POST", path, self.body(rotation), "2.44")
            self.assertEqual((answer.status, answer.body), (202, b""))
            self.assertEqual(len([name for name in answer.headers if name == "location"]), count)
        path = f"/servers/{self.add(State.RESIZED)}/action"
        await self.refused(409, "conflictingRequest", ALICE, "POST", path, self.body())

    async def test_rotation(self) -> None:
        """The oldest of the same server and type are too many, once they have data."""
        server_id, images = self.add(), tables.image
        facts = ({"backup_type": "daily"},) * 3 + ({"backup_type": "weekly"}, {"instance_uuid": "other"})
        with self.database.engine.begin() as connection:
            for place, more in enumerate(facts):
                own = {"image_type": BACKUP, "instance_uuid": server_id, "backup_type": "daily", **more}
                image = Image(id=f"b{place}", project_id="p1", status="active", properties=own)
                image_rows.create(connection, image)
                mine = images.c.id == image.id
                connection.execute(update(images).where(mine).values(created_us=place))
            self.assertEqual(backups_beyond(connection, "b2", 2), ["b0"])
            self.assertEqual(backups_beyond(connection, "b2", 0), ["b2", "b1", "b0"])
            self.assertEqual(backups_beyond(connection, "b2", 9), [])
            self.assertEqual(backups_beyond(connection, "none", 0), [])
            connection.execute(update(images).where(images.c.id == "b1").values(status="queued"))
            self.assertEqual(backups_beyond(connection, "b2", 1), ["b0"])
