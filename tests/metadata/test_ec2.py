"""Amazon's tree, as guests walk it."""

from __future__ import annotations

from attrs import evolve
from twisted.trial.unittest import SynchronousTestCase

from cloudd.metadata import GuestFacts, NoSuchDocument, find
from tests.metadata.guest import KEY, SERVER, rich_facts, seeded

NEWEST = [
    "ami-id",
    "ami-launch-index",
    "ami-manifest-path",
    "block-device-mapping/",
    "hostname",
    "instance-action",
    "instance-id",
    "instance-type",
    "local-hostname",
    "local-ipv4",
    "placement/",
    "public-hostname",
    "public-ipv4",
    "public-keys/",
    "reservation-id",
    "security-groups",
]


def text(path: str, facts: GuestFacts | None = None) -> str:
    return find(path, facts or rich_facts(), seeded).body.decode()


def walked(path: str, facts: GuestFacts) -> dict[str, str]:
    """All values below a folder, found as cloud-init finds them: a name with a slash is a folder."""
    found: dict[str, str] = {}
    for name in filter(None, text(path, facts).split("\n")):
        if name.endswith("/"):
            found |= walked(f"{path}{name}", facts)
        elif "=" in name:
            found |= walked(f"{path}{name.partition('=')[0]}/", facts)
        else:
            found[f"{path}{name}"] = text(f"{path}{name}", facts)
    return found


class AmazonTests(SynchronousTestCase):
    def test_versions(self) -> None:
        """At the top, and at ``/ec2``."""
        self.assertEqual(text("/").split("\n")[0], "1.0")
        self.assertEqual(text("/").split("\n")[-2:], ["2009-04-04", "latest"])
        self.assertEqual(text("/"), text("/ec2"))

    def test_listed(self) -> None:
        """The newest version has all, the oldest little."""
        self.assertEqual(text("/latest"), "meta-data/\nuser-data")
        self.assertEqual(text("/latest/meta-data/").split("\n"), NEWEST)
        oldest = text("/1.0/meta-data", GuestFacts(server=SERVER)).split("\n")
        self.assertEqual(len(oldest), 8)
        self.assertIn("instance-id", oldest)

    def test_values(self) -> None:
        """Every value that there is, found by walking."""
        base = "/2009-04-04/meta-data/"
        self.assertEqual(
            walked(base, rich_facts(launch_index=3)),
            {
                f"{base}ami-id": "ami-1ab20000",
                f"{base}ami-launch-index": "3",
                f"{base}ami-manifest-path": "FIXME",
                f"{base}block-device-mapping/ami": "vda",
                f"{base}block-device-mapping/root": "/dev/vda",
                f"{base}hostname": "web",
                f"{base}instance-action": "none",
                f"{base}instance-id": "i-5e1f0000",
                f"{base}instance-type": "m1.small",
                f"{base}local-hostname": "web",
                f"{base}local-ipv4": "10.0.0.5",
                f"{base}placement/availability-zone": "z1",
                f"{base}public-hostname": "web",
                f"{base}public-ipv4": "",
                f"{base}public-keys/0/openssh-key": KEY,
                f"{base}reservation-id": "r-12345678",
                f"{base}security-groups": "default",
            },
        )

    def test_keys(self) -> None:
        """A key's folder is listed by number and name, without a slash."""
        self.assertEqual(text("/latest/meta-data/public-keys/"), "0=mine")
        self.assertEqual(text("/latest/meta-data/public-keys/0/"), "openssh-key")

    def test_same_below_ec2(self) -> None:
        """``/ec2/VERSION`` is the same tree."""
        self.assertEqual(text("/ec2/latest/meta-data/hostname"), "web")

    def test_user_data(self) -> None:
        """Beside the metadata; nothing where there is none."""
        self.assertEqual(find("/latest/user-data", rich_facts(), seeded).body, b"#!/bin/sh\necho \xff\n")
        poor = GuestFacts(server=SERVER)
        self.assertEqual(text("/latest", poor), "meta-data/")
        with self.assertRaises(NoSuchDocument):
            text("/latest/user-data", poor)

    def test_by_version(self) -> None:
        """Members come with their version."""
        for older, newer, name in (
            ("1.0", "2007-01-19", "local-hostname"),
            ("2007-03-01", "2007-08-29", "instance-type"),
            ("2007-10-10", "2007-12-15", "block-device-mapping/"),
            ("2007-12-15", "2008-02-01", "placement/"),
            ("2008-02-01", "2008-09-01", "instance-action"),
        ):
            self.assertNotIn(name, text(f"/{older}/meta-data").split("\n"))
            self.assertIn(name, text(f"/{newer}/meta-data").split("\n"))

    def test_no_port(self) -> None:
        """A server without addresses has an empty one, and without an image an id of zeros."""
        poor = GuestFacts(server=evolve(SERVER, image_id=None))
        self.assertEqual(text("/latest/meta-data/local-ipv4", poor), "")
        self.assertEqual(text("/latest/meta-data/ami-id", poor), "ami-00000000")
