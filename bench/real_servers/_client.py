"""What a tenant does with a cloud, whatever program it uses.  Everything is called by its name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol


class Wrong(Exception):
    """The cloud, or the tenant's program, did not do what it should."""


@dataclass(frozen=True)
class Wish:
    """
    A server to be made.

    :ivar port: a port that is there; else it gets one on ``network`` in ``security_group``
    """

    name: str
    image: str
    flavor: str
    port: str = ""
    network: str = ""
    security_group: str = ""
    key: str = ""
    user_data: str = ""
    server_group: str = ""
    config_drive: bool = False


@dataclass(frozen=True)
class Shown:
    """
    A server as it is now.

    :ivar task: what is being done to it; empty: nothing
    """

    server_id: str
    status: str
    task: str
    addresses: list[str]
    flavor: str
    fault: str


@dataclass(frozen=True)
class Used:
    """What limits say that the project has of the quotas."""

    servers: int
    vcpus: int
    ram_mib: int


class Client(Protocol):
    """
    Each call raises some error where the cloud refuses.  Those that begin something in a server do not wait for it,
    but for ``boot``, ``snapshot`` and ``delete_servers``.
    """

    def listed(self) -> Mapping[str, list[str]]:
        """Names (of ports: ids) of all that the project sees, by kind, sorted."""

    def hosts(self) -> Mapping[str, int]:
        """How many there are of what an administrator sees of hosts, by kind."""

    def zones(self) -> list[str]:
        """Availability zones of servers."""

    def used(self) -> Used: ...

    def quota_servers(self) -> int: ...

    # ---- what servers are made of

    def make_flavor(self, name: str, ram_mib: int) -> None:
        """As an administrator: one vCPU, a disk of 1 GiB."""

    def make_key(self, name: str, private: Path) -> str:
        """Have a pair made; gives the public key, and writes the other one."""

    def upload(self, name: str, file: Path) -> None:
        """A qcow2 file as an image."""

    def download(self, name: str, file: Path) -> None: ...

    def make_server_group(self, name: str) -> None:
        """With soft anti-affinity."""

    def members(self, server_group: str) -> list[str]:
        """Ids of servers."""

    def make_network(self, name: str, cidr: str) -> None:
        """With a subnet of the same name."""

    def make_security_group(self, name: str) -> None: ...

    def make_port(self, name: str, network: str, address: str, security_group: str) -> None: ...

    def port_server(self, name: str) -> str:
        """The id of the server that has it; empty: none."""

    def let_echoes_in(self, security_group: str) -> str:
        """Gives the rule's id."""

    def delete_rule(self, rule_id: str) -> None: ...

    # ---- servers

    def boot(self, wish: Wish) -> None:
        """Until it is ACTIVE."""

    def show(self, server: str) -> Shown: ...

    def console(self, server: str) -> str: ...

    def history(self, server: str) -> list[str]:
        """What was done to it, the oldest first."""

    def stop(self, server: str) -> None: ...

    def start(self, server: str) -> None: ...

    def suspend(self, server: str) -> None: ...

    def resume(self, server: str) -> None: ...

    def reboot(self, server: str, *, hard: bool) -> None: ...

    def snapshot(self, server: str, image: str) -> None:
        """Until the image has its data."""

    def resize(self, server: str, flavor: str) -> None: ...

    def confirm(self, server: str) -> None: ...

    def rebuild(self, server: str, image: str) -> None: ...

    def delete_servers(self, *servers: str) -> None:
        """Until they are gone."""

    def delete(self, kind: str, name: str) -> None:
        """
        :param kind: as the command line calls it: ``security group``
        """
