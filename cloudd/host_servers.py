# -*- test-case-name: tests.test_application -*-
"""What a host has for its servers, put together: guests, their ports, images and config drives."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from pathlib import Path

from attrs import frozen

from cloudd.compute import ServerPasswords
from cloudd.guests import Guests, PlugFailed, without_links
from cloudd.image import Images
from cloudd.image_cache import ImageCache, backing_files
from cloudd.interfaces.application import Resources
from cloudd.metadata import CONFIG_DRIVES, ConfigDrives
from cloudd.network_agent import NetworkAgent, NoDataPlane, PlugRefused, network_agent
from net import NetError
from storage import IObjectStore


@frozen
class HostServers:
    """
    The parts of an application that look after servers here.

    :ivar plugging: goes first where both lead: guests wait for their ports
    """

    guests: Guests
    plugging: NetworkAgent | NoDataPlane
    images: ImageCache

    async def rest(self) -> None:
        """When no task runs any more: let go of guests, and then of their network, whatever has come of the first."""
        try:
            await self.guests.rest()
        finally:
            await self.plugging.rest()


@frozen
class _Plugged:
    """``Plugging`` of guests: what cannot be plugged here has them tried elsewhere, with the cause."""

    _host: NetworkAgent | NoDataPlane

    async def plug(self, port_ids: Sequence[str]) -> Mapping[str, str]:
        try:
            return await self._host.plug(port_ids)
        except (PlugRefused, NetError) as error:
            raise PlugFailed(str(error)) from error

    async def unplug(self, port_ids: Sequence[str]) -> None:
        await self._host.unplug(port_ids)


def servers_of_host(
    resources: Resources,
    images: Images,
    store: IObjectStore,
    own_node: Callable[[], Awaitable[str]],
    own_name: Callable[[], Awaitable[str]],
    poke: Callable[[], object],
) -> HostServers:
    """
    Put them together; nothing runs.  Blocks for as long as it takes to look for a hypervisor.

    :param own_node: id of this node
    :param own_name: its name in the registry
    :param poke: called when a task was submitted
    """
    unlinked = without_links(resources)
    plugging = network_agent(resources, own_node, unlinked)
    passwords = ServerPasswords(resources.secrets, resources.threads)
    drives = ConfigDrives(
        resources.database, resources.threads, resources.settings.state / CONFIG_DRIVES, passwords.open
    )

    async def in_use() -> Collection[Path]:
        found: Collection[Path] = await resources.threads.run(backing_files, [guests.driver.folder])
        return found

    cache = ImageCache(resources, store, in_use)
    guests = Guests(resources, images, store, own_node, own_name, poke, _Plugged(plugging), cache, drives, unlinked)
    return HostServers(guests, plugging, cache)
