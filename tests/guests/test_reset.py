"""A server's state is reset: what was ordered before never overwrites it, and what is ordered next works."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from attrs import define, field, frozen
from twisted.internet.defer import Deferred

from cloudd.compute import (
    BUILD,
    CONFIRM_RESIZE,
    DELETE,
    POWER,
    REBUILD,
    RESET,
    RESIZE,
    REVERT_RESIZE,
    SNAPSHOT,
    Doing,
    Order,
    State,
    change_server,
    reset_state,
)
from cloudd.interfaces.servers import Power

from .host import administrator, grown, one_interface, order, place
from .test_steps import SERVER, StepsCase


@define(eq=False)
class Stuck:
    """
    The driver, one of whose calls waits for ever, before or after it was carried out.

    :ivar reached: fires when that call is made
    """

    driver: Any
    call: str
    after: bool = False
    reached: Deferred[None] = field(init=False, factory=Deferred)

    def __getattr__(self, name: str) -> Any:
        found = getattr(self.driver, name)
        if name != self.call or self.reached.called:
            return found
        return lambda *given: Deferred.fromCoroutine(self._stuck(found, given))

    async def _stuck(self, found: Any, given: tuple[Any, ...]) -> None:
        if self.after:
            await found(*given)
        self.reached.callback(None)
        await Deferred[None]()


@define(eq=False)
class Met:
    """The driver, one of whose calls something follows before whoever made it hears of its end."""

    driver: Any
    call: str
    then: Callable[[], Awaitable[None]]

    def __getattr__(self, name: str) -> Any:
        found = getattr(self.driver, name)
        return found if name != self.call else lambda *given: Deferred.fromCoroutine(self._met(found, given))

    async def _met(self, found: Any, given: tuple[Any, ...]) -> None:
        await found(*given)
        await self.then()


@frozen
class Half:
    """A task that is in the middle of something."""

    id: str
    stuck: Stuck


class ResetCase(StepsCase):
    async def half(self, form: Any, doing: Doing, call: str, *, after: bool = False, **payload: Any) -> Half:
        """Order it; it is stuck in that call to the driver from then on."""
        stuck = Stuck(await self.host.ready_driver(), call, after)

        async def ready() -> Any:
            return stuck

        means = self.host.means()
        means.driver = ready
        self.work(means, lease_s=1.0)
        task_id = await self.write(order, form, SERVER, doing, **payload)
        self.runner.poke()
        await stuck.reached
        return Half(task_id, stuck)

    async def reset(self, state: State) -> None:
        await self.write(reset_state, Order(administrator(), SERVER, "req-reset"), state)
        self.runner.poke()

    async def called_off(self, half: Half, state: State) -> dict[str, Any]:
        """Reset it, and wait for the end of what was ordered; the server then."""
        await self.reset(state)
        server = await self.server()
        self.assertEqual((server.state, server.doing), (state, None))
        row = await self.house.until_state(half.id, "failed")
        self.assertEqual(row["cause"], RESET)
        found = await self.told()
        self.assertEqual((found["state"], found["doing"]), (state, None))
        return found


class BuildTests(ResetCase):
    async def test_error(self) -> None:
        """Nothing is left of what was made; the server is deleted as any other that is on no host."""
        await self.write(place, SERVER, networks=one_interface(self.network_id))
        half = await self.half(BUILD, Doing.SPAWNING, "power_on")
        found = await self.called_off(half, State.ERROR)
        self.assertEqual((found["host"], found["ports"], found["server_claims"], found["fault"]), ("", 0, 0, None))
        self.assertEqual((await half.stuck.guests(), self.host.plugs.plugged), ([], 0))
        self.assertEqual(found["events"], [["compute__do_build_and_run_instance", "Error"]])
        self.assertEqual(len(self.house.database_ids()), 1, "it is placed nowhere else")

    async def test_not_begun(self) -> None:
        """One that waits for its turn never begins."""
        await self.write(place, SERVER, networks=one_interface(self.network_id))
        task_id = await self.write(order, BUILD, SERVER, Doing.SPAWNING)
        self.work(starts=False)
        await self.reset(State.ERROR)
        self.runner.start()
        await self.house.until_state(task_id, "failed")
        found = await self.told()
        self.assertEqual((found["state"], found["ports"], found["server_claims"]), ("error", 0, 0))

    async def test_active(self) -> None:
        """A guest that does run stays, and is a server like any other."""
        await self.write(place, SERVER, networks=one_interface(self.network_id))
        half = await self.half(BUILD, Doing.SPAWNING, "power_on", after=True)
        found = await self.called_off(half, State.ACTIVE)
        self.assertEqual((found["power"], found["launched"], found["interfaces"]), ("RUNNING", True, 1))
        self.assertEqual((self.record()["power"], self.host.plugs.plugged), (Power.RUNNING, 1))
        self.assertEqual((await self.order(POWER, Doing.POWERING_OFF, verb="stop"))["state"], "done")
        await self.order(DELETE, Doing.DELETING)
        self.assertEqual((await self.told())["server_claims"], 0)


class ActionTests(ResetCase):
    async def setUp(self) -> None:  # type: ignore[override]
        await super().setUp()
        self.work()
        await self.built()
        await self.runner.rest()

    async def test_stop(self) -> None:
        """A stop that has hung is called off, and is not wanted any more; the next one works."""
        half = await self.half(POWER, Doing.POWERING_OFF, "power_off", verb="stop")
        await self.write(change_server, SERVER, wanted="stopped")
        found = await self.called_off(half, State.ACTIVE)
        self.assertEqual((found["wanted"], self.record()["power"]), ("running", Power.RUNNING))
        self.assertEqual((await self.order(POWER, Doing.POWERING_OFF, verb="stop"))["state"], "done")
        self.assertEqual((await self.server()).state, State.STOPPED)

    async def test_done_behind(self) -> None:
        """What was carried out, and is not written yet, is not written any more."""
        half = await self.half(POWER, Doing.POWERING_OFF, "power_off", after=True, verb="stop")
        await self.called_off(half, State.ERROR)
        self.assertEqual(self.record()["power"], Power.OFF)
        self.assertEqual((await self.order(POWER, Doing.REBOOTING_HARD, verb="reboot"))["state"], "done")
        self.assertEqual((await self.server()).state, State.ACTIVE)

    async def test_while_it_writes(self) -> None:
        """The reset comes a moment before the last write, which is not made."""
        driver = Met(await self.host.ready_driver(), "power_off", lambda: self.reset(State.ERROR))

        async def ready() -> Any:
            return driver

        means = self.host.means()
        means.driver = ready
        self.work(means)
        row = await self.order(POWER, Doing.POWERING_OFF, verb="stop")
        self.assertEqual((row["state"], row["cause"], self.record()["power"]), ("failed", RESET, Power.OFF))
        server = await self.server()
        self.assertEqual((server.state, server.doing, server.fault), (State.ERROR, None, None))

    async def test_rebuild(self) -> None:
        """Half of it: in error, and rebuilt again at once, behind what is undone."""
        half = await self.half(REBUILD, Doing.REBUILDING, "rebuild_disk", state="active")
        await self.reset(State.ERROR)
        self.assertEqual((await self.order(REBUILD, Doing.REBUILDING, state="active"))["state"], "done")
        self.assertEqual(self.house.row(half.id)["state"], "failed")
        self.assertEqual(((await self.server()).state, self.record()["power"]), (State.ACTIVE, Power.RUNNING))

    async def test_snapshot(self) -> None:
        """The image that waited goes, with the file of the copy."""
        await self.host.kept.keep("image", self.simulated / "guests" / SERVER / "guest.json")
        half = await self.half(SNAPSHOT, Doing.IMAGE_SNAPSHOT, "snapshot", after=True, image_id="image")
        await self.called_off(half, State.ACTIVE)
        self.assertEqual([*(self.folder / "kept").iterdir(), *(self.folder / "snapshots").iterdir()], [])

    async def test_resize(self) -> None:
        """Half of it: the size that it had, on the host too, and one claim."""
        await self.write(grown, SERVER)
        half = await self.half(RESIZE, Doing.RESIZE_PREP, "power_on", state="active")
        self.assertEqual(self.record()["memory_mib"], 128)
        found = await self.called_off(half, State.ACTIVE)
        self.assertEqual((found["flavors"], found["server_claims"]), (["small", None], 1))
        self.assertEqual((self.record()["memory_mib"], self.record()["power"]), (64, Power.RUNNING))

    async def test_revert(self) -> None:
        """Half of the way back: all of it."""
        await self._resize()
        half = await self.half(REVERT_RESIZE, Doing.RESIZE_REVERTING, "define")
        found = await self.called_off(half, State.ACTIVE)
        self.assertEqual((found["flavors"], found["server_claims"]), (["small", None], 1))
        self.assertEqual((self.record()["memory_mib"], self.record()["power"]), (64, Power.RUNNING))

    async def test_confirm(self) -> None:
        """It is confirmed, and its disk as large as it is to be."""
        await self._resize()
        half = await self.half(CONFIRM_RESIZE, Doing.RESIZE_CONFIRMING, "define")
        found = await self.called_off(half, State.ACTIVE)
        self.assertEqual((found["flavors"], found["server_claims"]), (["big", None], 1))
        self.assertEqual((self.record()["disk_bytes"], self.record()["power"]), (2 << 30, Power.RUNNING))

    async def test_resized(self) -> None:
        """One that waits for its confirmation keeps its new size, and one claim."""
        await self._resize()
        self.work()
        await self.reset(State.ACTIVE)
        found = await self.told()
        self.assertEqual((found["state"], found["flavors"], found["server_claims"]), ("active", ["big", None], 1))

    async def test_deletion(self) -> None:
        """It goes on: nothing brings back what it has removed."""
        half = await self.half(DELETE, Doing.DELETING, "remove")
        await self.reset(State.ERROR)
        await self.runner.rest()
        self.work()
        await self.house.until_state(half.id, "done")
        self.assertEqual((await self.server()).state, State.DELETED)

    async def _resize(self) -> None:
        await self.write(grown, SERVER)
        self.work()
        self.assertEqual((await self.order(RESIZE, Doing.RESIZE_PREP, state="active"))["state"], "done")
        await self.runner.rest()
