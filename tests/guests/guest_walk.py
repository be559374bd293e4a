"""Each kind of work on a server, killed at every moment; see ``tests.tasks.walk``."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from attrs import define
from sqlalchemy import Connection, select, update

from cloudd.compute import (
    ATTACH,
    BUILD,
    CONFIRM_RESIZE,
    DELETE,
    DETACH,
    PLACE,
    POWER,
    REBUILD,
    RESIZE,
    REVERT_RESIZE,
    SNAPSHOT,
    Doing,
    Interface,
    Order,
    State,
    Wanted,
    add_interface,
    change_server,
    read_server,
    reset_state,
)
from cloudd.database import tables
from cloudd.drivers import Failure, Play, write_play
from cloudd.guests import guest_kinds
from cloudd.image import BACKUP, Image
from cloudd.image import _rows as image_rows
from cloudd.network import Port, create_port
from cloudd.tasks import Fields, Kind, Runner, Step, Task, by_name
from tests.tasks.walk import LEASE_S, Scenario
from tests.tasks.world import World

from .host import (
    BIG,
    PROJECT,
    SMALL,
    TestHost,
    act,
    administrator,
    claim,
    furnish,
    grown,
    member,
    one_interface,
    order,
    place,
    told,
)

SERVER = "0a9b7d0e-6a3f-4d21-9a7c-000000000001"


def host(world: World) -> TestHost:
    return TestHost(world.reactor, world.folder, world.database, world.threads)


async def run_all(world: World, here: TestHost) -> None:
    """Run tasks to their ends, as one process does."""
    runner = Runner(world.reactor, world.database, by_name(guest_kinds(here.means())), "preparing", 2, LEASE_S)
    runner.start()
    while await world.database.read(_open):
        await _sleep(world)
    await runner.rest()


def _open(connection: Connection) -> bool:
    states = select(tables.task.c.id).where(tables.task.c.state.in_(("queued", "running")))
    return connection.execute(states).first() is not None


async def _sleep(world: World) -> None:
    from twisted.internet.task import deferLater

    await deferLater(world.reactor, 0.01, lambda: None)


Change = Callable[[Connection], object]


@define(eq=False)
class Working(Scenario):
    """
    One kind.

    :ivar begin: orders it, of a server that is ``built`` or only placed
    :ivar play: what goes wrong while it runs
    :ivar before: ordered, and done, of one that is built
    """

    begin: Change
    built: bool = True
    play: Play | None = None
    parallel: int = 1
    before: Change | None = None

    async def prepare(self, world: World) -> None:
        network_id = await world.database.write(furnish)
        (world.folder / "network").write_text(network_id)
        here = host(world)
        networks = one_interface(network_id)
        await world.database.write(place, SERVER, networks=networks)
        if self.built:
            for change in (_build, self.before):
                if change is not None:
                    await world.database.write(change)
                    await run_all(world, here)
            await world.database.write(_forget_tasks)
        else:
            await here.ready_driver()
        await here.driver.stop()
        await world.database.write(self.begin)
        if self.play is not None:
            write_play(world.folder / "guests", self.play)

    def kinds(self, world: World) -> Iterable[Kind]:
        here = host(world)
        here.driver = world.marked("driver", here.driver)
        here.plugs = _Marked(world, here.plugs)
        return [*guest_kinds(here.means()), Kind(form=PLACE, steps=(Step("place", _stays),))]

    async def effects(self, world: World) -> Any:
        here = host(world)
        driver = await here.ready_driver()
        found = await world.database.read(told, SERVER)
        guests = [[each.id, each.power.name] for each in await driver.guests()]
        await driver.stop()
        files = list((world.folder / "snapshots").glob("*"))
        kept = sorted(path.name for path in (world.folder / "kept").glob("*"))
        return {**found, "guests": guests, "plugged": here.plugs.plugged, "files": len(files), "kept": kept}


@define(eq=False)
class BackingUp(Working):
    """A backup, with an older one that has data."""

    async def prepare(self, world: World) -> None:
        await Working.prepare(self, world)
        (world.folder / "kept").mkdir()
        (world.folder / "kept" / "old").write_text("a disk")


async def _stays(task: Task) -> Fields | None:
    """In place of a scheduler: what it was asked for."""
    return {name: task.payload[name] for name in ("avoid", "tries", "cause")}


class _Marked:
    """A data plane with moments before and after each call, whose methods are coroutines."""

    def __init__(self, world: World, plugs: Any) -> None:
        self._moment, self._plugs = world.moment, plugs

    async def plug(self, port_ids: Any) -> Any:
        self._moment("plug")
        taps = await self._plugs.plug(port_ids)
        self._moment("plug, done")
        return taps

    async def unplug(self, port_ids: Any) -> None:
        self._moment("unplug")
        await self._plugs.unplug(port_ids)
        self._moment("unplug, done")


def _forget_tasks(connection: Connection) -> None:
    """The build is not what is looked at."""
    for table in ("tasks", "test_ends", "server_events", "server_actions"):
        connection.exec_driver_sql(f"DELETE FROM {table}")


def _build(connection: Connection) -> None:
    order(connection, BUILD, SERVER)


def _acting(action: str, *changes: Change) -> Change:
    def begin(connection: Connection) -> None:
        act(connection, SERVER, action)
        for change in changes:
            change(connection)

    return begin


def _order(form: Any, doing: Doing | None = None, **payload: Any) -> Change:
    return lambda connection: order(connection, form, SERVER, doing, **payload)


def _set(**values: Any) -> Change:
    return lambda connection: change_server(connection, SERVER, **values)


def _reset(state: State) -> Change:
    return lambda connection: reset_state(connection, Order(administrator(), SERVER, "req-reset"), state)


def _resized(connection: Connection) -> None:
    grown(connection, SERVER)


def _shrunk(connection: Connection) -> None:
    """What cannot be: the disk would be smaller than it is."""
    change_server(connection, SERVER, flavor="small", flavor_before=BIG.id)
    claim(connection, SERVER, "resize", SMALL)


def _one_more_port(connection: Connection) -> None:
    server = read_server(connection, SERVER)
    network = connection.execute(select(tables.network.c.id)).scalar_one()
    port = Port(id="", project_id=server.project_id, network_id=network, mac_address="")
    made = create_port(connection, member(), port, None, frozenset())
    add_interface(connection, SERVER, Interface(port_id=made.id, position=1))
    order(connection, ATTACH, SERVER, port_id=made.id)


def _backups(connection: Connection) -> None:
    """Records of this backup and of an older one."""
    own = {"image_type": BACKUP, "instance_uuid": SERVER, "backup_type": "daily"}
    for image_id, created_us in (("old", 1), ("image", 2)):
        image_rows.create(connection, Image(id=image_id, project_id=PROJECT, status="active", properties=own))
        mine = tables.image.c.id == image_id
        connection.execute(update(tables.image).where(mine).values(created_us=created_us))


def _detach_first(connection: Connection) -> None:
    (interface,) = read_server(connection, SERVER).interfaces
    order(connection, DETACH, SERVER, port_id=interface.port_id)


def _always(call: str) -> Play:
    return Play(failures=[Failure(call=call, cause="the disk is full", next_step="Make room", times=1000)])


def _power(verb: str, doing: Doing) -> Working:
    return Working(_acting(verb, _order(POWER, doing, verb=verb)))


BUILDING = Working(_build, built=False)
BUILD_FAILS = Working(_build, built=False, play=_always("power_on"))
BUILD_OF_A_DELETED = Working(_acting("delete", _build, _order(DELETE, Doing.DELETING)), built=False, parallel=2)
DELETING = Working(_acting("delete", _order(DELETE, Doing.DELETING)))
STOPPING = _power("stop", Doing.POWERING_OFF)
SUSPENDING = _power("suspend", Doing.SUSPENDING)
REBOOTING = _power("reboot", Doing.REBOOTING)
REBOOTING_SUSPENDED = Working(
    _acting("reboot", _order(POWER, Doing.REBOOTING_HARD, verb="reboot")),
    before=_order(POWER, Doing.SUSPENDING, verb="suspend"),
)
STOP_FAILS = Working(_acting("stop", _order(POWER, Doing.POWERING_OFF, verb="stop")), play=_always("power_off"))
REBUILDING = Working(_acting("rebuild", _order(REBUILD, Doing.REBUILDING, state=State.ACTIVE.value)))
REBUILD_FAILS = Working(
    _acting("rebuild", _order(REBUILD, Doing.REBUILDING, state=State.ACTIVE.value)), play=_always("rebuild_disk")
)
RESIZING = Working(_acting("resize", _resized, _order(RESIZE, Doing.RESIZE_PREP, state=State.ACTIVE.value)))
RESIZE_FAILS = Working(_acting("resize", _shrunk, _order(RESIZE, Doing.RESIZE_PREP, state=State.ACTIVE.value)))
CONFIRMING = Working(
    _acting(
        "confirmResize",
        _resized,
        _set(state=State.RESIZED.value),
        _order(CONFIRM_RESIZE, Doing.RESIZE_CONFIRMING),
    )
)
REVERTING = Working(
    _acting(
        "revertResize",
        _resized,
        _set(state=State.RESIZED.value),
        _order(REVERT_RESIZE, Doing.RESIZE_REVERTING),
    )
)
SNAPSHOTTING = Working(_acting("createImage", _order(SNAPSHOT, Doing.IMAGE_SNAPSHOT, image_id="image")))
BACKING_UP = BackingUp(
    _acting("createBackup", _backups, _order(SNAPSHOT, Doing.IMAGE_BACKUP, image_id="image", rotation=1))
)
ATTACHING = Working(_acting("attach_interface", _one_more_port))
DETACHING = Working(_acting("detach_interface", _detach_first))
DELETED_WHILE_STOPPED = Working(
    _acting(
        "delete",
        _order(POWER, Doing.POWERING_OFF, verb="stop"),
        _order(REBUILD, state=State.ACTIVE.value),
        _set(wanted=Wanted.DELETED.value),
        _order(DELETE, Doing.DELETING),
    ),
    parallel=3,
)
RESET_WHILE_BUILT = Working(_acting("create", _build, _reset(State.ERROR)), built=False)
RESET_AND_REBUILT = Working(
    _acting(
        "rebuild",
        _resized,
        _order(RESIZE, Doing.RESIZE_PREP, state=State.ACTIVE.value),
        _reset(State.ACTIVE),
        _order(REBUILD, Doing.REBUILDING, state=State.ACTIVE.value),
    ),
)
