"""The config drive, read back by another program than the one that writes it."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

from attrs import evolve
from twisted.trial.unittest import SynchronousTestCase

from cloudd.metadata import GuestFacts, config_drive, drive_files
from tests.metadata.guest import SERVER, encoded, rich_facts, seeded


def isoinfo(file: Path, *arguments: str) -> bytes:
    """What genisoimage's reader says of a file."""
    return subprocess.run(["isoinfo", "-i", str(file), *arguments], capture_output=True, check=True).stdout


def contents(file: Path) -> dict[str, bytes]:
    """All files, by path, as Rock Ridge (``-R``) names them; the other names are Joliet's (``-J``)."""
    paths = isoinfo(file, "-R", "-f").decode().split()
    folders = {path.rpartition("/")[0] for path in paths}
    files = [path for path in paths if not any(each.startswith(path) for each in folders)]
    return {path.lstrip("/"): isoinfo(file, "-R", "-x", path) for path in files}


class ConfigDriveTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.folder = Path(self.mktemp())

    def test_read_back(self) -> None:
        """Label, names and contents are what was meant, by the names of both systems."""
        file = config_drive(rich_facts(), self.folder, "s3cret", seeded)
        self.assertEqual(file, self.folder / "config-drive.iso")
        self.assertIn("Volume id: config-2\n", isoinfo(file, "-d").decode())
        wanted = drive_files(rich_facts(), "s3cret", seeded)
        self.assertEqual(contents(file), wanted)
        told = isoinfo(file, "-J", "-f").decode().split()
        self.assertEqual(set(told) & {f"/{path}" for path in wanted}, {f"/{path}" for path in wanted})
        self.assertEqual(isoinfo(file, "-J", "-x", "/openstack/content/0000"), b"hello\n")

    def test_tree(self) -> None:
        """Each version of OpenStack's tree, as Nova has it there, and Amazon's newest."""
        found = drive_files(rich_facts(), "", seeded)
        self.assertIn("openstack/2012-08-10/user_data", found)
        self.assertNotIn("openstack/2012-08-10/network_data.json", found)
        latest = {path.rpartition("/")[2] for path in found if path.startswith("openstack/latest/")}
        documents = {"meta_data.json", "user_data", "vendor_data.json", "network_data.json", "vendor_data2.json"}
        self.assertEqual(latest, documents)
        amazon = {path for path in found if path.startswith("ec2/")}
        names = ("meta-data.json", "user-data")
        self.assertEqual(amazon, {f"ec2/{each}/{name}" for each in ("2009-04-04", "latest") for name in names})

    def test_files(self) -> None:
        """What the server was created with is there, and told of in each version."""
        found = drive_files(rich_facts(), "", seeded)
        listed = json.loads(found["openstack/2012-08-10/meta_data.json"])["files"]
        self.assertEqual(
            listed,
            [
                {"path": "/etc/motd", "content_path": "/content/0000"},
                {"path": "/etc/b", "content_path": "/content/0001"},
            ],
        )
        self.assertEqual(found["openstack/content/0000"], b"hello\n")
        self.assertEqual(found["openstack/content/0001"], b"\0\1")

    def test_password(self) -> None:
        """The administrator's is told where one is given."""
        for given in ("", "pä"):
            told = json.loads(drive_files(rich_facts(), given, seeded)["openstack/latest/meta_data.json"])
            self.assertEqual(told.get("admin_pass"), given or None)

    def test_amazon(self) -> None:
        """One document a version; keys are numbered in it."""
        told = json.loads(drive_files(rich_facts(), "", seeded)["ec2/latest/meta-data.json"])
        self.assertEqual(set(told["public-keys"]["0"]), {"openssh-key"})
        self.assertEqual((told["instance-id"], told["security-groups"]), ("i-5e1f0000", ["default"]))

    def test_poor(self) -> None:
        """A server that has nothing still has a drive; empty files are files."""
        facts = GuestFacts(server=evolve(SERVER, files=(("/empty", ""),)))
        found = contents(config_drive(facts, self.folder))
        self.assertEqual(found["openstack/content/0000"], b"")
        self.assertNotIn("openstack/latest/user_data", found)

    def test_much(self) -> None:
        """As much as a server may have: the longest user data, and many big files."""
        files = tuple((f"/f{number}", encoded(bytes([number]) * 70_000)) for number in range(200))
        facts = GuestFacts(server=evolve(SERVER, user_data=encoded(b"u" * 49_149), files=files))
        file = config_drive(facts, self.folder)
        self.assertEqual(isoinfo(file, "-R", "-x", "/openstack/content/0199"), bytes([199]) * 70_000)
        self.assertEqual(isoinfo(file, "-R", "-x", "/openstack/latest/user_data"), b"u" * 49_149)

    def test_for_its_owner(self) -> None:
        """It holds a password: nobody else of the host reads it."""
        self.assertEqual(config_drive(rich_facts(), self.folder).stat().st_mode & 0o777, 0o600)

    def test_again(self) -> None:
        """One that is there is replaced whole, and who has it open reads on in the old one."""
        file = config_drive(GuestFacts(server=SERVER), self.folder)
        with file.open("rb") as opened:
            self.assertEqual(config_drive(rich_facts(), self.folder), file)
            self.assertNotEqual(os.fstat(opened.fileno()).st_ino, file.stat().st_ino)
        self.assertIn(b"web", isoinfo(file, "-R", "-x", "/openstack/latest/meta_data.json"))

    def test_killed(self) -> None:
        """What a process left that was killed is removed by the next one."""
        self.folder.mkdir()
        (self.folder / ".config-drive-x").write_bytes(b"half")
        config_drive(rich_facts(), self.folder)
        self.assertEqual(os.listdir(self.folder), ["config-drive.iso"])

    def test_no_room(self) -> None:
        """What cannot be written leaves nothing, and the one that was there as it was."""
        file = config_drive(rich_facts(), self.folder)
        before = file.read_bytes()
        self.patch(os, "fsync", full)
        with self.assertRaises(OSError):
            config_drive(rich_facts(), self.folder)
        self.assertEqual((os.listdir(self.folder), file.read_bytes()), (["config-drive.iso"], before))


def full(_descriptor: int) -> None:
    raise OSError(28, "No space left on device")
