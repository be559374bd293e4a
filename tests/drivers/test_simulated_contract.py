"""The simulated driver keeps to what all drivers do."""

from __future__ import annotations

from cloudd.drivers import Play, crash, foreign, write_play
from cloudd.drivers._simulated_records import Records
from cloudd.interfaces.servers import Power, Seen
from tests.contracts.server_driver import ServerDriverContract
from tests.drivers.simulated_case import SimulatedCase


class SimulatedContractTests(SimulatedCase, ServerDriverContract):
    def observe(self, seen: Seen) -> None:
        ServerDriverContract.observe(self, seen)

    async def crash(self, server_id: str) -> None:
        crash(self.host, server_id)

    async def foreign_guest(self, uuid: str) -> str:
        foreign(self.host, "somebody-elses", folder_name=uuid)
        return "somebody-elses"

    async def foreign_power(self, name: str) -> Power:
        (found,) = [record for record in Records(self.host).all() if record.name == name]
        return Power(found.power)

    def let_power_off_take_an_hour(self) -> None:
        write_play(self.host, Play(latency_s={"power_off": 3_600}))

    async def booted(self, server_id: str) -> None:
        """It has written all when it runs."""
        self.assertIn(b"login: ", await self.driver.console(server_id, 100))
