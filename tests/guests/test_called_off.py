"""What is called off when its last write was made: it is done, and nothing of it is undone."""

from __future__ import annotations

from typing import Any

from cloudd.compute import (
    ATTACH,
    BUILD,
    CONFIRM_RESIZE,
    DELETE,
    DETACH,
    POWER,
    REBUILD,
    RESIZE,
    REVERT_RESIZE,
    SNAPSHOT,
    Doing,
    Interface,
    State,
    add_interface,
)
from cloudd.interfaces.servers import Power
from cloudd.tasks._operators import cancel

from .host import grown, one_interface, order, place
from .test_steps import SERVER, StepsCase

CAUSE = "an operator wants it to end"


class _Killed(Exception):
    """Stands for the end of the process."""


class CalledOffTests(StepsCase):
    async def called_off_at_its_end(self, form: Any, doing: Doing | None = None, **payload: Any) -> dict[str, Any]:
        """Its process ends before it can say that it is done, and it is cancelled then; the server afterwards."""
        kills = [1]

        def moment(name: str) -> None:
            if name == "done" and kills:
                kills.clear()
                raise _Killed

        self.work(lease_s=1.0, moment=moment)
        task_id = await self.write(order, form, SERVER, doing, **payload)
        self.runner.poke()
        await self.house.until(lambda: not kills)
        await self.write(cancel, task_id, CAUSE, [form.name])
        before = await self.told()
        row = await self.house.until_state(task_id, "failed")
        self.assertEqual(row["cause"], CAUSE)
        self.assertEqual(len(self.flushLoggedErrors(_Killed)), 1)
        found = await self.told()
        self.assertEqual(found, before)
        await self.runner.rest()
        return found

    async def test_build(self) -> None:
        """The guest runs, with its port and its claim."""
        await self.write(place, SERVER, networks=one_interface(self.network_id))
        found = await self.called_off_at_its_end(BUILD)
        self.assertEqual((found["state"], found["ports"], found["server_claims"]), (State.ACTIVE, 1, 1))
        self.assertEqual((self.record()["power"], self.host.plugs.plugged), (Power.RUNNING, 1))
        self.assertEqual(found["events"], [["compute__do_build_and_run_instance", "Success"]])

    async def test_stop(self) -> None:
        """It is off."""
        await self._built()
        found = await self.called_off_at_its_end(POWER, Doing.POWERING_OFF, verb="stop")
        self.assertEqual((found["state"], self.record()["power"]), (State.STOPPED, Power.OFF))

    async def test_rebuild(self) -> None:
        """It runs from its new disk."""
        await self._built()
        found = await self.called_off_at_its_end(REBUILD, Doing.REBUILDING, state="active")
        self.assertEqual((found["state"], found["fault"]), (State.ACTIVE, None))

    async def test_snapshot(self) -> None:
        """The image has its data, and the copy's file is gone."""
        await self._built()
        await self.called_off_at_its_end(SNAPSHOT, Doing.IMAGE_SNAPSHOT, image_id="image")
        self.assertEqual([file.name for file in (self.folder / "kept").iterdir()], ["image"])
        self.assertEqual([*(self.folder / "snapshots").iterdir()], [])

    async def test_resize(self) -> None:
        """It has its new size, and waits; then the old one again."""
        await self._built()
        await self.write(grown, SERVER)
        found = await self.called_off_at_its_end(RESIZE, Doing.RESIZE_PREP, state="active")
        self.assertEqual((found["state"], self.record()["memory_mib"]), (State.RESIZED, 128))
        found = await self.called_off_at_its_end(REVERT_RESIZE, Doing.RESIZE_REVERTING)
        self.assertEqual((found["flavors"], self.record()["memory_mib"]), (["small", None], 64))

    async def test_confirm(self) -> None:
        """The old size is given up."""
        await self._built()
        await self.write(grown, SERVER)
        self.work()
        await self.order(RESIZE, Doing.RESIZE_PREP, state="active")
        await self.runner.rest()
        found = await self.called_off_at_its_end(CONFIRM_RESIZE, Doing.RESIZE_CONFIRMING)
        self.assertEqual((found["flavors"], found["server_claims"]), (["big", None], 1))

    async def test_interfaces(self) -> None:
        """One more, and one less."""
        await self._built()
        port_id = await self.a_port()
        await self.write(add_interface, SERVER, Interface(port_id=port_id, position=1))
        found = await self.called_off_at_its_end(ATTACH, port_id=port_id)
        self.assertEqual((found["interfaces"], self.host.plugs.plugged), (2, 2))
        found = await self.called_off_at_its_end(DETACH, port_id=port_id)
        self.assertEqual((found["interfaces"], self.host.plugs.plugged), (1, 1))

    async def test_deletion(self) -> None:
        """It is gone, without a fault."""
        await self._built()
        found = await self.called_off_at_its_end(DELETE, Doing.DELETING)
        self.assertEqual((found["state"], found["fault"]), (State.DELETED, None))

    async def _built(self) -> None:
        self.work()
        await self.built(networks=one_interface(self.network_id))
        await self.runner.rest()
