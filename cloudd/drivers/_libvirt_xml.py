# -*- test-case-name: tests.drivers.test_libvirt_xml -*-
"""
A guest as libvirt's domain XML, and back.  Pure.

Values come from tenants (names, properties of images) and are set as text and attributes of elements, never into
strings; what XML or libvirt cannot hold is refused here, or replaced where it is only for people to look at.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final
from uuid import UUID
from xml.etree.ElementTree import Element, SubElement, register_namespace, tostring

from attrs import frozen
from defusedxml.ElementTree import fromstring

from cloudd.interfaces.servers import DriverError, Guest, GuestInterface

NAMESPACE: Final = "urn:cloudd:server:1"  # of what a domain of ours carries; its presence is what makes it ours
DISK: Final = "vda"
NAME_PREFIX: Final = "cloudd-"
_ALIAS_PREFIX: Final = "ua-"  # libvirt keeps only aliases that begin so
_SPARE_PORTS: Final = 4  # PCIe slots for what is plugged while it runs
_USUAL_MTU: Final = 1500
_MAC: Final = re.compile(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}", re.IGNORECASE)
_PORT_ID: Final = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_TAP: Final = re.compile(r"[A-Za-z0-9_.-]{1,15}")
_UNFIT: Final = re.compile(r"[^\t\x20-\x7e\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


@frozen
class Files:
    """Where the files of one guest are."""

    disk: Path
    console: Path


@frozen
class Mark:
    """
    What a domain of ours says of itself.

    :ivar disk_bytes: what its root disk is to be when it starts next
    """

    id: str
    disk_bytes: int


def server_uuid(server_id: str) -> str:
    """
    :raises DriverError: it is none
    """
    try:
        return str(UUID(server_id))
    except (ValueError, AttributeError, TypeError):
        raise DriverError(f"the server's id {server_id!r} is no UUID", "Libvirt needs one") from None


def domain_xml(guest: Guest, files: Files, kind: str) -> str:
    """
    :param kind: ``kvm`` or ``qemu``
    :raises DriverError: a value that libvirt could not take, named in the cause
    """
    _check(guest)
    domain = Element("domain", type=kind)
    _text(domain, "name", f"{NAME_PREFIX}{server_uuid(guest.id)}")
    _text(domain, "uuid", server_uuid(guest.id))
    _text(domain, "title", fit(guest.name) or guest.id)
    _metadata(domain, guest)
    _text(domain, "memory", str(guest.memory_mib), unit="MiB")
    _text(domain, "vcpu", str(guest.vcpus))
    if kind == "kvm":
        SubElement(domain, "cpu", mode="host-passthrough")
    _boot(domain, guest)
    _sysinfo(domain, guest)
    features = SubElement(domain, "features")
    SubElement(features, "acpi")
    SubElement(features, "apic")
    SubElement(domain, "clock", offset="utc")
    for event, action in (("on_poweroff", "destroy"), ("on_reboot", "restart"), ("on_crash", "destroy")):
        _text(domain, event, action)
    _devices(domain, guest, files)
    return tostring(domain, encoding="unicode")


def interface_xml(interface: GuestInterface) -> str:
    """
    :raises DriverError: see ``domain_xml``
    """
    holder = Element("devices")
    _interface(holder, interface)
    return tostring(holder[0], encoding="unicode")


def copy_target_xml(file: Path) -> str:
    """Where a copy of a running guest's disk goes."""
    disk = Element("disk", type="file")
    SubElement(disk, "driver", name="qemu", type="qcow2")
    SubElement(disk, "source", file=str(file))
    return tostring(disk, encoding="unicode")


def read_mark(xml: str) -> Mark:
    """From our own element in a domain's metadata."""
    element = fromstring(xml)
    return Mark(element.get("id", ""), int(element.get("disk-bytes", "0")))


def plugged(xml: str) -> Mapping[str, str]:
    """The interface element of each port in a domain's XML, as XML, by port id."""
    found: dict[str, str] = {}
    for interface in fromstring(xml).iterfind("./devices/interface"):
        alias = interface.find("alias")
        name = "" if alias is None else alias.get("name", "")
        if name.startswith(_ALIAS_PREFIX):
            found[name.removeprefix(_ALIAS_PREFIX)] = tostring(interface, encoding="unicode")
    return found


def root_disk(xml: str) -> str:
    """The path of the root disk's file in a domain's XML; empty: it has none."""
    for disk in fromstring(xml).iterfind("./devices/disk"):
        target, source = disk.find("target"), disk.find("source")
        if target is not None and target.get("dev") == DISK and source is not None:
            return str(source.get("file", ""))
    return ""


def is_ready(xml: str) -> bool:
    """Whether a copy of the disk has come as far as the guest, in the XML of a running domain."""
    for disk in fromstring(xml).iterfind("./devices/disk"):
        target, mirror = disk.find("target"), disk.find("mirror")
        if target is not None and target.get("dev") == DISK and mirror is not None:
            return bool(mirror.get("ready") == "yes")
    return False


def fit(text: str) -> str:
    """Text for people to look at, in one line, without what XML cannot hold."""
    return _UNFIT.sub("?", text.replace("\t", " "))[:255]


def _check(guest: Guest) -> None:
    for field, value in (("vcpus", guest.vcpus), ("memory_mib", guest.memory_mib), ("disk_bytes", guest.disk_bytes)):
        if value < 1:
            raise DriverError(f"{field} is {value}", "It must be at least 1")
    if guest.kernel is None and (guest.initrd is not None or guest.kernel_arguments):
        raise DriverError("initrd and kernel_arguments are for a kernel, and there is none", "Name one, or neither")
    if _UNFIT.search(guest.kernel_arguments):
        raise DriverError("kernel_arguments have characters that cannot be printed", "Leave them out")
    for file in filter(None, (guest.kernel, guest.initrd, guest.config_drive)):
        if not file.is_absolute() or _UNFIT.search(str(file)):
            raise DriverError(f"the path {str(file)!r} is not absolute or cannot be printed", "Give another one")


def _text(parent: Element, tag: str, text: str, **attributes: str) -> Element:
    element = SubElement(parent, tag, attributes)
    element.text = text
    return element


def _metadata(domain: Element, guest: Guest) -> None:
    register_namespace("cloudd", NAMESPACE)
    server = SubElement(
        SubElement(domain, "metadata"),
        f"{{{NAMESPACE}}}server",
        {"id": server_uuid(guest.id), "disk-bytes": str(guest.disk_bytes)},
    )
    for key, value in sorted(guest.owner.items()):
        SubElement(server, f"{{{NAMESPACE}}}owner", kind=fit(key), value=fit(value))


def _boot(domain: Element, guest: Guest) -> None:
    system = SubElement(domain, "os")
    _text(system, "type", "hvm", arch="x86_64", machine="q35")
    if guest.kernel is not None:
        _text(system, "kernel", str(guest.kernel))
        if guest.initrd is not None:
            _text(system, "initrd", str(guest.initrd))
        if guest.kernel_arguments:
            _text(system, "cmdline", guest.kernel_arguments)
    SubElement(system, "boot", dev="hd")
    SubElement(system, "smbios", mode="sysinfo")


def _sysinfo(domain: Element, guest: Guest) -> None:
    """cloud-init takes a machine for one of OpenStack by its product name."""
    entries = SubElement(SubElement(domain, "sysinfo", type="smbios"), "system")
    facts = {
        "manufacturer": "OpenStack Foundation",
        "product": "OpenStack Nova",
        "serial": server_uuid(guest.id),
        "uuid": server_uuid(guest.id),
        "family": "Virtual Machine",
    }
    for name, value in facts.items():
        _text(entries, "entry", value, name=name)


def _devices(domain: Element, guest: Guest, files: Files) -> None:
    devices = SubElement(domain, "devices")
    SubElement(devices, "controller", type="usb", model="none")
    SubElement(devices, "controller", type="pci", index="0", model="pcie-root")
    for _ in range(len(guest.interfaces) + 3 + _SPARE_PORTS):  # disk, config drive, random numbers
        SubElement(devices, "controller", type="pci", model="pcie-root-port")
    _root_disk(devices, guest, files.disk)
    if guest.config_drive is not None:
        drive = SubElement(devices, "disk", type="file", device="cdrom")
        SubElement(drive, "driver", name="qemu", type="raw")
        SubElement(drive, "source", file=str(guest.config_drive))
        SubElement(drive, "target", dev="sda", bus="scsi")  # small cloud kernels know no SATA
        SubElement(drive, "readonly")
        SubElement(devices, "controller", type="scsi", model="virtio-scsi")
    for interface in guest.interfaces:
        _interface(devices, interface)
    serial = SubElement(devices, "serial", type="pty")
    SubElement(serial, "log", file=str(files.console), append="on")
    SubElement(serial, "target", port="0")
    SubElement(devices, "memballoon", model="none")
    _text(SubElement(devices, "rng", model="virtio"), "backend", "/dev/urandom", model="random")


def _root_disk(devices: Element, guest: Guest, file: Path) -> None:
    disk = SubElement(devices, "disk", type="file", device="disk")
    SubElement(disk, "driver", name="qemu", type="qcow2", discard="unmap")
    SubElement(disk, "source", file=str(file))
    # Said in full, so that nothing that an image names inside itself is ever followed.
    if guest.image is None:
        SubElement(disk, "backingStore")
    else:
        below = SubElement(disk, "backingStore", type="file")
        SubElement(below, "format", type=guest.image_format)
        SubElement(below, "source", file=str(guest.image.resolve()))
        SubElement(below, "backingStore")
    SubElement(disk, "target", dev=DISK, bus="virtio")


def _interface(devices: Element, interface: GuestInterface) -> None:
    if not _PORT_ID.fullmatch(interface.port_id):
        raise DriverError(f"port_id {interface.port_id!r} cannot name a card", "Use letters, digits, '.', '_' and '-'")
    if not _MAC.fullmatch(interface.mac_address):
        raise DriverError(f"mac_address {interface.mac_address!r} is none", "Write it as fa:16:3e:00:00:01")
    if interface.tap and not _TAP.fullmatch(interface.tap):
        raise DriverError(f"tap {interface.tap!r} cannot be the name of a device", "Use at most 15 letters and digits")
    # Without a tap the card needs some back end: QEMU's own, which its link keeps away from the guest.
    card = SubElement(devices, "interface", type="ethernet" if interface.tap else "user")
    SubElement(card, "mac", address=interface.mac_address)
    if interface.tap:
        SubElement(card, "target", dev=interface.tap, managed="no")
    SubElement(card, "model", type="virtio")
    SubElement(card, "link", state="up" if interface.tap else "down")
    if interface.mtu != _USUAL_MTU:
        SubElement(card, "mtu", size=str(interface.mtu))
    SubElement(card, "alias", name=f"{_ALIAS_PREFIX}{interface.port_id}")
