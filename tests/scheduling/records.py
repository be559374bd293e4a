"""Records of a small cloud in a control database: hosts that are at work, flavors, images, servers without a host."""

from __future__ import annotations

import uuid
from typing import Any

from sqlalchemy import Connection, insert, select

from cloudd.compute import Flavor, Server, add_server
from cloudd.compute.flavors._flavors import add_flavor
from cloudd.database import now_us, tables
from cloudd.interfaces.scheduling import HostPicture, Need, Placement

PROJECT, USER = "p" * 32, "u" * 32
FRESH = 60_000_000  # beat_us: nothing is silent in a test


def picture(name: str = "c1", **facts: Any) -> HostPicture:
    """A host that has 8 vCPUs, 16 GiB of memory and 100 GiB of disk, all free."""
    sizes: dict[str, Any] = {"vcpus": 8, "memory_mib": 16_384, "disk_gib": 100}
    sizes |= {f"free_{name}": size for name, size in sizes.items()}
    return HostPicture(**{"node_id": f"node-{name}", "name": name, "zone": "nova", **sizes, **facts})


def asking(**facts: Any) -> Placement:
    """One vCPU, a GiB of memory, ten of disk."""
    return Placement(**{"need": Need(vcpus=1, memory_mib=1024, disk_gib=10), "project_id": PROJECT, **facts})


def add_node(connection: Connection, name: str, **facts: Any) -> None:
    """A node that has just said that it is there."""
    row = {"id": f"node-{name}", "name": name, "state": "ready", "beat_us": FRESH, **facts}
    row.setdefault("contact_us", connection.execute(select(now_us())).scalar())
    connection.execute(insert(tables.node).values(**row, state_us=now_us(), created_us=now_us()))


def add_host(connection: Connection, name: str, /, **facts: Any) -> str:
    """A node that runs servers: 8 vCPUs, 16 GiB of memory and 100 GiB of disk; its id."""
    add_node(connection, name)
    row = {"node_id": f"node-{name}", "name": name, "driver": "simulated", "kind": "QEMU", "hypervisor_version": 1,
           "vcpus": 8, "memory_mib": 16_384, "disk_gib": 100, "vcpu_ratio": 1.0, "memory_ratio": 1.0, "disk_ratio": 1.0,
           "architecture": "x86_64", "cpu_model": "test", "real": False, "is_enabled": True, **facts}  # fmt: skip
    connection.execute(insert(tables.compute_host).values(**row, created_us=now_us(), updated_us=now_us()))
    return f"node-{name}"


def add_size(connection: Connection, name: str = "small", **facts: Any) -> Flavor:
    """A flavor of one vCPU, a GiB of memory and ten of disk."""
    sizes: dict[str, Any] = {"vcpus": 1, "ram_mib": 1024, "disk_gib": 10, **facts}
    return add_flavor(connection, Flavor(id="", flavor_id=name, name=name, **sizes))


def add_servers(connection: Connection, flavor: Flavor, count: int = 1, **facts: Any) -> list[str]:
    """So many that want a host; their ids."""
    ids = []
    for number in range(count):
        server = Server(
            **{"id": str(uuid.uuid4()), "project_id": PROJECT, "user_id": USER, "name": f"s{number}",
               "host_name": f"s{number}", "flavor": flavor.id, **facts}
        )  # fmt: skip
        add_server(connection, server)
        ids.append(server.id)
    return ids


def add_group(connection: Connection, policy: str, server_ids: list[str], most: int | None = None) -> str:
    """A server group with these servers; its id."""
    group_id = str(uuid.uuid4())
    row = {"id": group_id, "project_id": PROJECT, "user_id": USER, "name": policy, "policy": policy}
    connection.execute(insert(tables.server_group).values(**row, max_per_host=most, created_us=now_us()))
    members = [{"group_id": group_id, "server_id": each} for each in server_ids]
    connection.execute(insert(tables.server_group_member), members)
    return group_id


def add_image(connection: Connection, image_id: str, name: str, architecture: str, **facts: Any) -> None:
    """One that can be booted."""
    row = {"id": image_id, "project_id": PROJECT, "name": name, "status": "active", "visibility": "public",
           "min_disk": 0, "min_ram": 0, "protected": False, "hidden": False, **facts}  # fmt: skip
    connection.execute(insert(tables.image).values(**row, created_us=now_us(), updated_us=now_us()))
    values = {"image_id": image_id, "name": "hw_architecture", "value": architecture}
    connection.execute(insert(tables.image_property).values(**values))


def where(connection: Connection) -> dict[str, int]:
    """Name of a host -> how many servers have it."""
    found: dict[str, int] = {}
    for host in connection.execute(select(tables.server.c.host).where(tables.server.c.host != "")).scalars():
        found[host] = found.get(host, 0) + 1
    return found
