"""The libvirt driver keeps to what all drivers do, with guests that are emulated."""

from __future__ import annotations

import os
import signal
from typing import Any

from twisted.internet import reactor

from cloudd.drivers._libvirt import LibvirtDriver
from cloudd.drivers._libvirt_states import power_of
from cloudd.interfaces.servers import Guest, IServerDriver, Power, Seen
from tests.contracts.server_driver import ServerDriverContract
from tests.drivers.libvirt_case import UP, LibvirtCase

FOREIGN = """
<domain type='qemu'>
  <name>of-{uuid}</name><uuid>{uuid}</uuid><memory unit='MiB'>32</memory>
  <os><type arch='x86_64' machine='q35'>hvm</type></os>
</domain>
"""


class LibvirtContractTests(LibvirtCase, ServerDriverContract):
    def observe(self, seen: Seen) -> None:
        ServerDriverContract.observe(self, seen)

    def another(self) -> IServerDriver:
        return LibvirtDriver(reactor, self.hypervisor, self.folder / "guests", self.threads, "tcg")

    def a_guest(self) -> Guest:
        return self.guest()

    async def crash(self, server_id: str) -> None:
        """libvirt notices a moment later."""

        async def gone() -> bool:
            return await self.hypervisor.call(lambda link: not link.lookupByUUIDString(server_id).isActive())

        os.kill(self.own.guest_pid(f"cloudd-{server_id}"), signal.SIGKILL)
        await self.until(gone)

    async def foreign_guest(self, uuid: str) -> str:
        def start(connection: Any) -> None:
            connection.createXML(FOREIGN.format(uuid=uuid))

        def end(connection: Any) -> None:
            connection.lookupByUUIDString(uuid).destroy()

        await self.hypervisor.call(start)
        self.addCleanup(self.hypervisor.call, end)
        return f"of-{uuid}"

    async def foreign_power(self, name: str) -> Power:
        def state(connection: Any) -> Power:
            now, reason = connection.lookupByName(name).state(0)
            return power_of(now, reason, False)[0]

        return await self.hypervisor.call(state)

    def let_power_off_take_an_hour(self) -> None:
        """A guest that has just been started hears nothing yet."""

    async def booted(self, server_id: str) -> None:
        async def said() -> bool:
            return UP in await self.driver.console(server_id, 1 << 20)

        await self.until(said)
