# -*- test-case-name: tests.guests.test_kinds -*-
"""What the work on servers of a host needs of others, as protocols, and the least that does."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from attrs import define, frozen

from cloudd.compute import Server
from cloudd.identity import Access, RoleRef
from cloudd.image import Image
from cloudd.interfaces.application import Threads, Transactions
from cloudd.interfaces.servers import IServerDriver
from cloudd.network import Port


class Plugging(Protocol):
    """The data plane of this host: ``cloudd.network_agent.NetworkAgent``."""

    async def plug(self, port_ids: Sequence[str]) -> Mapping[str, str]:
        """
        Give each port, whose record names this host, its tap device; again: as it is.

        :return: port -> name of the tap, when all of it is there; empty: this host has no data plane
        """

    async def unplug(self, port_ids: Sequence[str]) -> None:
        """Take them away; none there is no error."""


class CachedImage(Protocol):
    """A file that stays as it is for as long as guests have layers above it."""

    @property
    def path(self) -> Path:
        """The file."""

    @property
    def format(self) -> str:
        """``raw`` or ``qcow2``."""


class ImageSource(Protocol):
    """The data of images, on this host: ``cloudd.image_cache.ImageCache``."""

    async def get(self, image: Image) -> CachedImage | None:
        """
        Have it here; again: as it is.

        :return: None: guests of this host have no use for it
        :raises ImageError: it has no data, or none that a guest can boot from
        """


class ConfigDrives(Protocol):
    """Files with metadata that guests see as a disk: of ``cloudd.metadata``."""

    async def make(self, server: Server, ports: Sequence[Port]) -> Path | None:
        """
        Write the file anew; one that is there is replaced.

        :return: None: there is none
        """

    async def remove(self, server_id: str) -> None:
        """None there is no error."""


class SnapshotStore(Protocol):
    """Where disks of servers become data of images."""

    async def keep(self, image_id: str, file: Path) -> None:
        """
        Let the image have the file's data; one that has data already, or is gone, stays as it is.

        :raises ImageError: it cannot take it
        """

    async def drop(self, image_id: str) -> None:
        """The image is not wanted any more; none there is no error."""

    async def delete(self, image_id: str) -> None:
        """The image goes, with its data; none there is no error, and one that is protected stays."""


class Images(Protocol):
    """Records of images."""

    async def get(self, access: Access, image_id: str) -> Image:
        """
        :raises NoSuchImage:
        """


@frozen
class NoDataPlane:
    """Of hosts whose guests have no links."""

    async def plug(self, port_ids: Sequence[str]) -> Mapping[str, str]:
        return dict.fromkeys(port_ids, "")

    async def unplug(self, port_ids: Sequence[str]) -> None:
        """There is nothing to take away."""


@frozen
class NoImageFiles:
    """Of hosts whose guests boot from nothing."""

    async def get(self, image: Image) -> CachedImage | None:
        return None


@frozen
class NoConfigDrives:
    """Of hosts that make none."""

    async def make(self, server: Server, ports: Sequence[Port]) -> Path | None:
        return None

    async def remove(self, server_id: str) -> None:
        """There is nothing to remove."""


@define(eq=False, kw_only=True)
class Means:
    """
    What all kinds of tasks of this host work with.

    :ivar threads: for files of its own
    :ivar node_id: of this host
    :ivar driver: started when it is asked for first
    :ivar image_files: where the driver is one whose guests boot from something
    :ivar patience_s: so long a guest that was asked to shut down may take
    :ivar folder: for files that come and go
    """

    reactor: Any
    database: Transactions
    threads: Threads
    node_id: Callable[[], Awaitable[str]]
    driver: Callable[[], Awaitable[IServerDriver]]
    images: Images
    plugging: Plugging
    image_files: ImageSource
    drives: ConfigDrives
    snapshots: SnapshotStore
    patience_s: float
    folder: Path


def on_behalf(server: Server) -> Access:
    """The rights of whoever has made it, in its project: its token may be gone by now."""
    return _access(server, ("member", "reader"))


def as_operator(server: Server) -> Access:
    """The rights of the cloud itself, for what the server's project was given once."""
    return _access(server, ("admin", "member", "reader"))


def _access(server: Server, roles: tuple[str, ...]) -> Access:
    return Access(
        user_id=server.user_id,
        user_name="",
        user_domain_id="",
        user_domain_name="",
        project_id=server.project_id,
        roles=tuple(RoleRef(name, name) for name in roles),
    )
