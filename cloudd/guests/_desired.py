# -*- test-case-name: tests.guests.test_steps -*-
"""A server's records as the guest that its driver is to have."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from attrs import frozen
from sqlalchemy import Connection

from cloudd.compute import Flavor, Server, flavor_record, leaving_ports, read_server
from cloudd.image import Image
from cloudd.interfaces.servers import Guest, GuestInterface
from cloudd.network import NoSuchResource, Port, mtus_of, port_record

NAME_CHARACTERS = 255
GIB = 1 << 30


@frozen(kw_only=True)
class Desired:
    """
    What the records say.

    :ivar ports: of its interfaces, in order
    :ivar mtus: by port
    :ivar gone_ports: ids of ports that it had and that somebody has deleted since, or that are being detached
    """

    server: Server
    flavor: Flavor
    ports: tuple[Port, ...]
    mtus: Mapping[str, int]
    gone_ports: tuple[str, ...] = ()

    @property
    def port_ids(self) -> list[str]:
        """In order."""
        return [port.id for port in self.ports]


@frozen(kw_only=True)
class Files:
    """
    What is on this host for it.

    :ivar image: None: its driver needs none
    """

    image: Path | None = None
    image_format: str = "qcow2"
    kernel: Path | None = None
    initrd: Path | None = None
    config_drive: Path | None = None


def desired(connection: Connection, server_id: str) -> Desired:
    """
    :raises NoSuchRecord: there is no such server
    :raises NoSuchResource: a port that it is to have is gone before it has run
    """
    server = read_server(connection, server_id)
    ports, gone = [], []
    leaving = frozenset[str]() if server.launched_us is None else leaving_ports(connection, server_id)
    for each in server.interfaces:
        if each.port_id in leaving:
            gone.append(each.port_id)
            continue
        try:
            ports.append(port_record(connection, each.port_id))
        except NoSuchResource:
            if server.launched_us is None:
                raise
            gone.append(each.port_id)
    return Desired(
        server=server,
        flavor=flavor_record(connection, server.flavor),
        ports=tuple(ports),
        mtus=mtus_of(connection, [port.id for port in ports]),
        gone_ports=tuple(gone),
    )


def guest_of(told: Desired, image: Image | None, files: Files, taps: Mapping[str, str], disk_gib: int = 0) -> Guest:
    """
    :param image: its record, where it has one
    :param taps: by port; those that are not named have none
    :param disk_gib: of its disk, where that is not the flavor's
    """
    server, flavor = told.server, told.flavor
    arguments = image.properties.get("os_command_line", "") if image is not None and files.kernel else ""
    return Guest(
        id=server.id,
        name=server.name[:NAME_CHARACTERS],
        vcpus=flavor.vcpus,
        memory_mib=flavor.ram_mib,
        disk_bytes=_disk_bytes(disk_gib or flavor.disk_gib, image),
        image=files.image,
        image_format=files.image_format,
        kernel=files.kernel,
        initrd=files.initrd,
        kernel_arguments=arguments,
        config_drive=files.config_drive,
        interfaces=[interface_of(port, told.mtus, taps) for port in told.ports],
        owner={"project": server.project_id, "user": server.user_id},
    )


def interface_of(port: Port, mtus: Mapping[str, int], taps: Mapping[str, str]) -> GuestInterface:
    """A port as its guest has it."""
    return GuestInterface(
        port_id=port.id, mac_address=port.mac_address, tap=taps.get(port.id, ""), mtu=mtus.get(port.id, 1500)
    )


def _disk_bytes(disk_gib: int, image: Image | None) -> int:
    """A flavor without a disk leaves the size to the image."""
    if disk_gib:
        return disk_gib * GIB
    return max(1, (image.virtual_size or image.size or 0) if image is not None else 0)
