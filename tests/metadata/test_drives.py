"""The drives of a host: made of the records, and gone with their servers."""

from __future__ import annotations

import json
from pathlib import Path

from attrs import evolve
from twisted.internet.defer import Deferred

from cloudd.compute import NoSuchRecord, change_server
from cloudd.metadata import ConfigDrives
from tests.metadata.guest import SERVER_ID, GuestCase, seeded
from tests.metadata.test_drive import isoinfo
from tests.protocols.rest.identity.cloud import InlineThreads

META_DATA = "/openstack/latest/meta_data.json"


class ConfigDrivesTests(GuestCase):
    def setUp(self) -> None:
        super().setUp()
        self.folder = Path(self.mktemp())
        self.drives = ConfigDrives(self.database, InlineThreads(), self.folder, self.opened, seeded)

    async def opened(self, sealed: str) -> str:
        return f"{sealed}, opened"

    async def test_made(self) -> None:
        """In a folder of the server's own, of its records, with what its password is."""
        server = await self.server(await self.port(), config_drive=True, sealed_password="sealed")
        file = await self.drives.make(server, ())
        assert file is not None
        self.assertEqual(file.parent, self.folder / SERVER_ID)
        told = json.loads(isoinfo(file, "-R", "-x", META_DATA))
        self.assertEqual((told["uuid"], told["admin_pass"]), (SERVER_ID, "sealed, opened"))
        network = json.loads(isoinfo(file, "-R", "-x", "/openstack/latest/network_data.json"))
        self.assertEqual(len(network["links"]), 1)

    async def test_anew(self) -> None:
        """What has changed since is there after the next time; without a password there is none."""
        server = await self.server(await self.port(), config_drive=True)
        await self.drives.make(server)
        await self.database.write(change_server, SERVER_ID, host_name="other")
        file = await self.drives.make(server)
        assert file is not None
        told = json.loads(isoinfo(file, "-R", "-x", META_DATA))
        self.assertEqual((told["hostname"], told.get("admin_pass")), ("other", None))

    async def test_none(self) -> None:
        """A server that is to have none, or is not written."""
        server = await self.server()
        self.assertIsNone(await self.drives.make(server))
        other = evolve(server, id="other", config_drive=True)
        await self.assertFailure(Deferred.fromCoroutine(self.drives.make(other)), NoSuchRecord)
        self.assertFalse(self.folder.exists())

    async def test_removed(self) -> None:
        """With all that is in its folder; again: as before."""
        file = await self.drives.make(await self.server(await self.port(), config_drive=True))
        assert file is not None
        (file.parent / ".config-drive-left").write_bytes(b"half")
        for _ in range(2):
            await self.drives.remove(SERVER_ID)
            self.assertEqual(list(self.folder.iterdir()), [])

    async def test_no_id(self) -> None:
        """What is no id is no path either."""
        for name in ("..", "", "a/b", "-x", "a\0b", "x" * 65):
            await self.assertFailure(Deferred.fromCoroutine(self.drives.remove(name)), ValueError)
