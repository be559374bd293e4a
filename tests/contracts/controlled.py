"""What every ``IControlled`` keeps to; run on the anchor's and on the fake that the control protocol is tested with."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
from zope.interface.verify import verifyObject

from cloudd.control import Health, IControlled, IDatabaseMoves, IUpgrades, Status, Trace, to_json
from cloudd.interfaces.application import OperationRefused

if TYPE_CHECKING:
    from twisted.trial.unittest import TestCase as Base

    from cloudd.daemon._upgrade import Upgrades
else:
    Base = object


class ControlledContract(Base):
    """Mix into a ``TestCase`` whose ``make`` gives one, and whose ``upgrades`` are those it was made with."""

    upgrades: Upgrades

    def make(self) -> IControlled:
        """One that is up, with at least one worker."""
        raise NotImplementedError

    def test_interface(self) -> None:
        """It has what the protocol asks for."""
        controlled = self.make()
        verifyObject(IControlled, controlled)
        verifyObject(IUpgrades, controlled.upgrades)
        verifyObject(IDatabaseMoves, controlled.database)

    async def test_status(self) -> None:
        """It tells of the code that was decided for, of each worker once, and survives the wire."""
        status = await self.make().status()
        self.assertEqual(msgspec.json.decode(to_json(status), type=Status), status)
        self.assertEqual(status.code, self.upgrades.code_status())
        names = [worker.name for worker in status.workers]
        self.assertEqual(len(names), len(set(names)))
        serving = [
            generation.number
            for worker in status.workers
            if worker.ready
            for generation in worker.generations
            if generation.state == "serving"
        ]
        self.assertEqual(set(serving), {self.upgrades.current.generation})
        for worker in status.workers:
            if not worker.ready:
                self.assertEqual(worker.generations, [])

    async def test_health(self) -> None:
        """The whole is well when each part is; a part that fails has a cause."""
        health = await self.make().health()
        self.assertEqual(msgspec.json.decode(to_json(health), type=Health), health)
        states = {part["status"] for part in health.parts.values()}
        self.assertEqual(health.status, "ok" if states <= {"ok"} else "failing")
        for part in health.parts.values():
            self.assertEqual(bool(part.get("cause")), part["status"] != "ok")

    async def test_operate(self) -> None:
        """What the application does not know is refused in words."""
        with self.assertRaises(OperationRefused) as caught:
            await self.make().operate("no.such", {})
        self.assertIn("no.such", str(caught.exception))

    async def test_trace(self) -> None:
        """A request that nobody made has no lines; the answer is of the id that was asked for."""
        request_id = "req-00000000-0000-0000-0000-000000000000"
        trace = await self.make().trace(request_id)
        self.assertEqual(msgspec.json.decode(to_json(trace), type=Trace), trace)
        self.assertEqual((trace.request_id, trace.requests), (request_id, []))
