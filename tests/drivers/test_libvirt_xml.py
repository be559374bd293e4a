"""Guests as domain XML, whatever their values hold."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from uuid import uuid4

from attrs import evolve
from defusedxml.ElementTree import fromstring
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from cloudd.drivers._libvirt_xml import (
    NAMESPACE,
    Files,
    Mark,
    domain_xml,
    interface_xml,
    plugged,
    read_mark,
    server_uuid,
)
from cloudd.interfaces.servers import DriverError, Guest, GuestInterface

FILES = Files(Path("/guests/1/disk.qcow2"), Path("/guests/1/console.log"))
CARD = GuestInterface(port_id="port-1", mac_address="fa:16:3e:00:00:01", tap="cldport-1", mtu=1400)


def guest(**facts: Any) -> Guest:
    plain = Guest(id=str(uuid4()), name="one", vcpus=2, memory_mib=64, disk_bytes=1 << 20, image=Path("/images/1"))
    return evolve(plain, **facts)


class DomainTests(SynchronousTestCase):
    def test_ids(self) -> None:
        """The domain, its SMBIOS and its mark have the server's id."""
        made = guest(owner={"project": "p1"})
        domain = fromstring(domain_xml(made, FILES, "qemu"))
        self.assertEqual(domain.findtext("uuid"), made.id)
        self.assertEqual(domain.findtext("name"), f"cloudd-{made.id}")
        entries = {entry.get("name"): entry.text for entry in domain.iter("entry")}
        self.assertEqual((entries["product"], entries["uuid"]), ("OpenStack Nova", made.id))
        mark = domain.find(f"./metadata/{{{NAMESPACE}}}server")
        assert mark is not None
        self.assertEqual((mark.get("id"), mark.get("disk-bytes")), (made.id, str(1 << 20)))

    def test_backing_files_end_with_the_image(self) -> None:
        """What an image names as its own backing file is not followed."""
        domain = fromstring(domain_xml(guest(image_format="raw"), FILES, "qemu"))
        below = domain.find("./devices/disk/backingStore")
        assert below is not None
        self.assertEqual(below.find("format").get("type"), "raw")
        last = below.find("backingStore")
        assert last is not None
        self.assertEqual(last.attrib, {})

    @given(st.text(), st.text(st.characters(blacklist_categories=("Cc", "Cs")), min_size=1), st.text())
    def test_any_text(self, name: str, arguments: str, owner: str) -> None:
        """Names and arguments are values: nothing in them makes an element."""
        made = guest(name=name, kernel=Path("/kernel"), kernel_arguments=arguments, owner={"user": owner})
        try:
            domain = fromstring(domain_xml(made, FILES, "kvm"))
        except DriverError:
            return
        self.assertEqual(domain.findtext("./os/cmdline"), arguments)
        self.assertEqual(len(domain.findall("./devices/disk")), 1)
        self.assertNotIn("\n", domain.findtext("title") or "")

    def test_refused(self) -> None:
        """The cause names the field."""
        for field, facts in (
            ("id", {"id": "../../etc"}),
            ("vcpus", {"vcpus": 0}),
            ("memory_mib", {"memory_mib": -1}),
            ("disk_bytes", {"disk_bytes": 0}),
            ("kernel_arguments", {"kernel_arguments": "quiet"}),
            ("kernel_arguments", {"kernel": Path("/k"), "kernel_arguments": "a\0b"}),
            ("path", {"config_drive": Path("relative.iso")}),
            ("port_id", {"interfaces": (evolve(CARD, port_id="a/b"),)}),
            ("mac_address", {"interfaces": (evolve(CARD, mac_address="fa:16"),)}),
            ("tap", {"interfaces": (evolve(CARD, tap="longer than 15 letters"),)}),
        ):
            error = self.assertRaises(DriverError, domain_xml, guest(**facts), FILES, "qemu")
            self.assertIn(field, error.cause)

    def test_ids_have_one_form(self) -> None:
        self.assertEqual(server_uuid("C10DDC10DD0040008000000000000001"), "c10ddc10-dd00-4000-8000-000000000001")


class PartTests(SynchronousTestCase):
    def test_cards_are_found_by_port(self) -> None:
        """With the XML that libvirt unplugs them by."""
        found = plugged(domain_xml(guest(interfaces=(CARD, evolve(CARD, port_id="port-2", tap=""))), FILES, "qemu"))
        self.assertEqual(set(found), {"port-1", "port-2"})
        self.assertEqual(found["port-1"], interface_xml(CARD))
        card = fromstring(found["port-1"])
        self.assertEqual(
            (card.get("type"), card.find("target").attrib), ("ethernet", {"dev": "cldport-1", "managed": "no"})
        )
        self.assertEqual((card.find("link").get("state"), card.find("mtu").get("size")), ("up", "1400"))
        card = fromstring(found["port-2"])
        self.assertEqual((card.get("type"), card.find("link").get("state")), ("user", "down"))

    def test_mark(self) -> None:
        self.assertEqual(read_mark(f"<c:server xmlns:c='{NAMESPACE}' id='x' disk-bytes='7'/>"), Mark("x", 7))
