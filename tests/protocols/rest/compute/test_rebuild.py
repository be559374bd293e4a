"""Rebuilds: what each version takes and tells, and what is refused."""

from __future__ import annotations

import base64
from typing import Any

from cloudd import compute as service
from cloudd.compute import SSH, Doing, Keypair, ServerPasswords, State, Wanted
from cloudd.image import Image
from cloudd.image import _rows as image_rows

from .server_cloud import ADMIN, ALICE, IMAGE, NODE, ServerCase

OTHER = "22222222-2222-4222-8222-222222222222"
FOREIGN = "33333333-3333-4333-8333-333333333333"
VERSIONS = ("2.1", "2.9", "2.19", "2.26", "2.47", "2.54", "2.57", "2.63", "2.71", "2.73", "2.75", "2.79")
PUBLIC = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ7hT0b6r0Y4J1m8q3J4m5n6p7q8r9s0t1u2v3w4x5y6 a@b"


def text64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


class RebuildTests(ServerCase):
    def setUp(self) -> None:
        super().setUp()
        self.add_image(OTHER)
        self.add_image(FOREIGN, project_id="p2", visibility="private")

    def add_image(self, image_id: str, **values: Any) -> None:
        """One that can be booted, or not."""
        same: dict[str, Any] = {
            "project_id": "p1", "name": "i", "status": "active", "disk_format": "qcow2", "container_format": "bare",
            "size": 1_000, "virtual_size": 2_000,
        }  # fmt: skip
        with self.database.engine.begin() as connection:
            image_rows.create(connection, Image(id=image_id, **(same | values)))

    async def opened(self, sealed: str | None) -> str:
        """A password, as the server's host reads it."""
        return await ServerPasswords(self.resources.secrets, self.resources.threads).open(sealed or "")

    async def test_each_version(self) -> None:
        """Answered with the members that tempest expects, and a password."""
        for version in VERSIONS:
            server_id = self.add()
            body = {"rebuild": {"imageRef": OTHER, "name": "again"}}
            kind, path = "rebuild_server_with_admin_pass", f"/servers/{server_id}/action"
            shown = (await self.fits("servers", kind, ALICE, "POST", path, version, body))["server"]
            self.assertEqual((shown["id"], shown["name"], len(shown["adminPass"])), (server_id, "again", 12))
            for member, minor in (("locked", 9), ("description", 19), ("tags", 26), ("key_name", 54),
                                  ("user_data", 57), ("OS-EXT-STS:vm_state", 75)):  # fmt: skip
                self.assertEqual(member in shown, int(version[2:]) >= minor, (version, member))
            with self.database.engine.begin() as connection:
                service.release(connection, server_id)

    async def test_row(self) -> None:
        """What is named is another one, all else stays."""
        with self.database.engine.begin() as connection:
            key = Keypair(user_id="alice-id", name="k", number=0, type=SSH, fingerprint="f", public_key=PUBLIC)
            service.create_keypair(connection, self.client_access(ALICE), key)
        server_id = self.add(State.STOPPED, items={"a": "b"}, user_data=text64("old"), description="d")
        body: dict[str, Any] = {"imageRef": OTHER, "adminPass": "secret", "metadata": {"c": "d"}, "key_name": "k"}
        answer = await self.call(ALICE, "POST", f"/servers/{server_id}/action", {"rebuild": body}, "2.57")
        self.assertEqual(answer.status, 202, answer.text)
        self.assertEqual(answer.json()["server"]["adminPass"], "secret")
        self.assertTrue(answer.headers["location"].endswith(f"/compute/v2.1/servers/{server_id}"))
        row = self.row(server_id)
        self.assertEqual((row.image_id, row.image_before, row.doing), (OTHER, IMAGE, Doing.REBUILDING))
        self.assertEqual((row.items, row.key_name, row.public_key), ({"c": "d"}, "k", PUBLIC))
        self.assertEqual((row.user_data, row.description, row.name), (text64("old"), "d", "s"))
        self.assertEqual(await self.opened(row.sealed_password), "secret")
        payload = {"server_id": server_id, "state": "stopped"}
        self.assertEqual(self.tasks(), [("compute.rebuild_server", NODE, payload)])
        self.assertEqual(self.history(server_id), [("rebuild", "alice-id", "p1")])

    async def test_taken_away(self) -> None:
        """Null takes a key, data and description away."""
        server_id = self.add(key_name="k", public_key=PUBLIC, key_type=SSH, user_data="eA==", description="d")
        body = {"rebuild": {"imageRef": OTHER, "key_name": None, "user_data": None, "description": None}}
        await self.act(202, server_id, body, ALICE, "2.57")
        row = self.row(server_id)
        self.assertEqual((row.key_name, row.public_key, row.user_data, row.description), (None, None, None, None))

    async def test_files(self) -> None:
        """Up to 2.56, within the quota."""
        server_id = self.add()
        path = f"/servers/{server_id}/action"

        def body(*files: tuple[str, str]) -> dict[str, Any]:
            return {"rebuild": {"imageRef": OTHER, "personality": [{"path": p, "contents": c} for p, c in files]}}

        await self.bad(server_id, body(("/a", text64("x"))), ALICE, "2.57")
        await self.bad(server_id, body(("/a", "no base64!")), ALICE, "2.56")
        for files in ([("/a", text64("x"))] * 6, [("/a", text64("x" * 10_241))], [("/" + "a" * 255, text64("x"))]):
            await self.refused(403, "forbidden", ALICE, "POST", path, body(*files), "2.1")
        await self.act(202, server_id, body(("/a", text64("x"))), ALICE, "2.56")
        self.assertEqual(self.row(server_id).files, (("/a", text64("x")),))

    async def test_bad(self) -> None:
        """400 with what is wrong; nothing is written."""
        server_id = self.add()
        for members, version in (
            ({}, "2.1"), ({"imageRef": ""}, "2.1"), ({"imageRef": OTHER, "x": 1}, "2.1"),
            ({"imageRef": OTHER, "name": ""}, "2.1"), ({"imageRef": OTHER, "name": " x"}, "2.1"),
            ({"imageRef": OTHER, "description": "d"}, "2.18"), ({"imageRef": OTHER, "key_name": "k"}, "2.53"),
            ({"imageRef": OTHER, "key_name": "none"}, "2.54"), ({"imageRef": OTHER, "user_data": "eA=="}, "2.56"),
            ({"imageRef": OTHER, "user_data": "?"}, "2.57"), ({"imageRef": OTHER, "user_data": "A" * 65_536}, "2.57"),
            ({"imageRef": OTHER, "metadata": {"a": 1}}, "2.1"), ({"imageRef": OTHER, "accessIPv4": "::1"}, "2.1"),
            ({"imageRef": OTHER, "preserve_ephemeral": True}, "2.1"), ({"imageRef": OTHER, "accessIPv6": "x"}, "2.1"),
            ({"imageRef": OTHER, "trusted_image_certificates": ["a"]}, "2.63"),
            ({"imageRef": OTHER, "OS-DCF:diskConfig": "x"}, "2.1"), ({"imageRef": "none"}, "2.1"),
            ({"imageRef": FOREIGN}, "2.1"), ({"imageRef": OTHER, "description": "a\x1bb"}, "2.19"),
        ):  # fmt: skip
            await self.bad(server_id, {"rebuild": members}, ALICE, version)
        items = {"rebuild": {"imageRef": OTHER, "metadata": {f"k{n}": "v" for n in range(129)}}}
        await self.refused(403, "forbidden", ALICE, "POST", f"/servers/{server_id}/action", items)
        self.assertEqual((self.tasks(), self.history(server_id), self.row(server_id).image_id), ([], [], IMAGE))

    async def test_images_that_do_not_fit(self) -> None:
        """Without data, or for larger flavors: as Nova says it."""
        for image_id, values, words in (
            ("q", {"status": "queued"}, "Image q is not active."),
            ("r", {"min_ram": 100_000}, "Flavor's memory is too small for requested image."),
            ("d", {"min_disk": 1_000}, "Flavor's disk is smaller than the minimum size"),
            ("s", {"virtual_size": 1 << 50}, "Flavor's disk is too small for requested image."),
        ):  # fmt: skip
            self.add_image(image_id, **values)
            cause = await self.bad(self.add(), {"rebuild": {"imageRef": image_id}})
            self.assertIn(words, cause)

    async def test_state(self) -> None:
        """One that failed can be built anew, and runs then; one that is paused cannot."""
        server_id = self.add(State.ERROR, wanted=Wanted.STOPPED)
        await self.act(202, server_id, {"rebuild": {"imageRef": OTHER}}, ADMIN)
        self.assertEqual(self.tasks()[0][2], {"server_id": server_id, "state": "active"})
        self.assertEqual(self.row(server_id).wanted, Wanted.RUNNING)
        server_id = self.add(State.PAUSED)
        cause = await self.conflict(server_id, {"rebuild": {"imageRef": OTHER}})
        self.assertEqual(cause, f"Cannot 'rebuild' instance {server_id} while it is in vm_state paused")
