# -*- test-case-name: tests.guests.test_steps -*-
"""
What all work on a server of this host has in common.

**Deletion comes at any time**, also while something else is done to the server: its own task deletes what it finds, and
whatever was made after that is found by who made it, since every step ends in a write that fails for a server that is
gone (``Going``).  It then removes all that may be there, so nothing is left whoever is last.

**A state that is reset** calls off what was ordered before (``cloudd.compute.reset_state``).  Every write to the server
looks for that in its own transaction, so nothing overwrites the state; the undo mends the guest and the history alone.
Work that is ordered after it is tried again until that undo has ended.

**The last write** decides: what is called off after it, by whoever or by its deadline, is done and not undone.

**What fails** is told as a ``Trouble``: saved with the task, which then fails, so that its undo knows what to write.
A host that is away for a moment (``HostAway``) is waited for instead, by trying again.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Final, NoReturn

from attrs import define, evolve, frozen
from sqlalchemy import Connection
from twisted.logger import Logger

from cloudd.compute import (
    EVENT_ERROR,
    EVENT_SUCCESS,
    RESET,
    ComputeError,
    Server,
    State,
    Wanted,
    fail,
    note_event,
    ports_of_others,
    read_server,
    settle,
    was_reset,
)
from cloudd.image import Image, ImageError, NoSuchImage
from cloudd.interfaces.servers import DriverError, Guest, HostAway, Power, Seen
from cloudd.network import NetworkError
from cloudd.tasks import Fields, Form, Kind, Retry, Step, StepFunction, Task, TaskFailed, called_off_before

from ._desired import Desired, Files, desired, guest_of
from ._means import CachedImage, Means, as_operator, as_owner

#: A host that is away is asked again for some two minutes.
RETRY: Final = Retry(attempts=12, first_s=0.5, longest_s=15.0)


def silence_s(means: Means) -> float:
    """What may wait for a guest to shut down is not taken for dead before that is over."""
    return means.patience_s + 600.0


TENANTS = (NetworkError, ImageError, ComputeError)


_HOSTS: Final = "The host could not do it: see the server's actions, or try again."


class Going(Exception):
    """The server is deleted, or is to be: what is done to it is of no use any more."""


class Behind(Exception):
    """What was ordered of this server before, and was called off, has not ended yet."""


class PlugFailed(Exception):
    """
    The data plane could not do what it was asked for.  Providers of ``Plugging`` may raise others, too.

    :ivar for_tenant: what the server's project may know of it, and can do; empty: nothing
    """

    def __init__(self, details: str, for_tenant: str = "") -> None:
        super().__init__(details)
        self.for_tenant = for_tenant


@frozen
class Trouble:
    """
    Why something could not be done.

    :ivar message: for who has the server, ``details`` for administrators
    :ivar is_hosts: another host may do it
    """

    code: int
    message: str
    details: str = ""
    is_hosts: bool = True

    @classmethod
    def of(cls, error: Exception) -> Trouble:
        """What is the tenant's to mend is told to the tenant in full."""
        if isinstance(error, TENANTS):
            return cls(getattr(error, "status", 400), error.cause, "", is_hosts=False)
        told = error.for_tenant if isinstance(error, PlugFailed) else ""
        return cls(500, told or _HOSTS, _details(error))

    @classmethod
    def saved(cls, task: Task) -> Trouble:
        """What a step has left for its undo."""
        told = task.state.get("trouble")
        if told is not None:
            return cls(*told)
        if task.standing.end:
            return cls(500, f"It was called off: {task.standing.end}", task.standing.end, is_hosts=False)
        return cls(500, "The host does not answer: try again later.", "given up after several attempts")

    @property
    def told(self) -> str:
        """What the tenant can mend of what a host could not do; empty: nothing."""
        return self.message if self.is_hosts and self.message != _HOSTS else ""

    @property
    def plain(self) -> list[Any]:
        """As tasks keep it."""
        return [self.code, self.message[:1000], self.details[:4000], self.is_hosts]


def _details(error: Exception) -> str:
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"the disk of this host is full ({error}): make room there"
    return str(error)


CALLED_OFF: Final = Trouble(500, f"It was called off: {RESET}", RESET, is_hosts=False)


def is_going(server: Server) -> bool:
    """Whether it is deleted, or is to be."""
    return server.deleted_us is not None or server.wanted is Wanted.DELETED


def staying(connection: Connection, task: Task) -> Server:
    """
    The server, which this task may write to.

    :raises Going:
    :raises TaskFailed: its state was reset since this was ordered
    """
    server = read_server(connection, task.payload["server_id"])
    if is_going(server):
        raise Going
    if was_reset(connection, task.id):
        raise TaskFailed(RESET)
    return server


@define(eq=False)
class Work:
    """
    One kind's steps; ``event`` is what Nova calls them in a server's history.
    """

    means: Means
    event: str
    _log: ClassVar[Logger] = Logger()

    # ---- steps

    def kind(self, form: Form, *steps: Step, **facts: Any) -> Kind:
        """How work of that form is done: tried as often as all of it, and undone unless it was done."""
        return Kind(form=form, steps=steps, retry=RETRY, undo=self.undo_unless_done, **facts)

    def step(self, name: str, function: StepFunction) -> Step:
        """``function``, ended for a server that is going, and failed for what will not get better."""

        failing = self.failing(function)

        async def run(task: Task) -> Fields | None:
            try:
                await self._in_turn(task)
                return await failing(task)
            except Going:
                return await self._ended(task)
            except TaskFailed:
                if not await self._is_going(task):
                    raise
                return await self._ended(task)

        return Step(name, run)

    def failing(self, function: StepFunction) -> StepFunction:
        """``function``, failed for what will not get better."""

        async def run(task: Task) -> Fields | None:
            try:
                return await function(task)
            except HostAway:
                raise
            except (DriverError, PlugFailed, OSError, *TENANTS) as error:
                await self._fail(task, Trouble.of(error))

        return run

    async def _in_turn(self, task: Task) -> None:
        """
        :raises Behind: which is tried again
        """
        if task.state:
            return
        earlier: str | None = await self.means.database.read(called_off_before, task.id, RESET)
        if earlier is not None:
            raise Behind(f"task {earlier}, which was called off, has not ended yet")

    async def _ended(self, task: Task) -> Fields:
        await self.leave(task)
        await self.clear(self.server_id(task), task.state.get("ports", []))
        return {"gone": True}

    async def leave(self, task: Task) -> None:
        """The server goes: what this task has made besides goes too; safe to call again."""

    async def _is_going(self, task: Task) -> bool:
        return is_going(await self.means.database.read(read_server, self.server_id(task)))

    async def _fail(self, task: Task, trouble: Trouble) -> NoReturn:
        await task.save({**task.state, "trouble": trouble.plain})
        raise TaskFailed(trouble.details or trouble.message)

    async def clear(self, server_id: str, port_ids: list[str]) -> None:
        """Nothing of it is on this host afterwards; again: so it stays."""
        driver = await self.means.driver()
        await driver.remove(server_id)
        await self.unplug(server_id, port_ids, all_of_it=True)
        await self.means.drives.remove(server_id)
        await self.means.image_files.release(server_id)

    async def unplug(self, server_id: str, port_ids: list[str], *, all_of_it: bool = False) -> None:
        """
        Have ports out that are the server's alone; another's on this host stay plugged for that one.

        :param all_of_it: and all others that it has
        """
        own = await self.means.database.read(_own_ports, server_id, port_ids, all_of_it)
        await self.means.plugging.unplug(own)

    # ---- what steps share

    @staticmethod
    def server_id(task: Task) -> str:
        server_id: str = task.payload["server_id"]
        return server_id

    async def desired(self, task: Task) -> Desired:
        """
        :raises Going:
        """
        told: Desired = await self.means.database.read(desired, self.server_id(task))
        if is_going(told.server):
            raise Going
        return told

    async def guest(self, told: Desired, *, anew: bool = False, disk_gib: int = 0) -> Guest:
        """
        What it is to be, with taps and files that are there when this fires.

        :param anew: its disk is to be made; else it stays, and its image may be deleted by now
        """
        taps = await self.means.plugging.plug(told.port_ids)
        image = await self._image(told, anew=anew)
        drive = await self.means.drives.make(told.server, told.ports) if told.server.config_drive else None
        if image is not None:
            files = await self._files(told.server.id, image)
        else:
            files = Files() if told.server.image_id is None else await self._files_of_before(told.server)
        return guest_of(told, image, evolve(files, config_drive=drive), taps, disk_gib)

    async def _image(self, told: Desired, *, anew: bool) -> Image | None:
        """None: it has none, or had."""
        server = told.server
        if server.image_id is None:
            return None
        try:
            return await self.means.images.get(as_operator(server), server.image_id)
        except NoSuchImage:
            if anew:
                raise
            return None

    async def _files(self, server_id: str, image: Image) -> Files:
        disk = await self.means.image_files.get(image)
        if disk is None:
            return Files()
        parts: dict[str, CachedImage] = {}
        for name, key in (("kernel", "kernel_id"), ("initrd", "ramdisk_id")):
            if image_id := image.properties.get(key):
                # Anybody may write any id there: what the image's own project may not read is not for its guests.
                part = await self.means.images.get(as_owner(image), image_id)
                found = await self.means.image_files.get(part)
                if found is not None:
                    parts[name] = found
        await self.means.image_files.hold(server_id, [disk, *parts.values()])
        paths = {name: part.path for name, part in parts.items()}
        return Files(image=disk.path, image_format=disk.format, **paths)

    async def _files_of_before(self, server: Server) -> Files:
        """
        Its image is deleted, and its disk lies above the file still.

        :raises NoSuchImage: nobody knows the file, or how its kernel was to be started
        """
        held = await self.means.image_files.held(server.id)
        if held is None:
            return Files()
        if len(held) != 1:
            raise NoSuchImage(server.image_id or "")
        return Files(image=held[0].path, image_format=held[0].format)

    async def seen(self, server_id: str) -> Seen | None:
        """As it is now; None: this host has no guest for it."""
        driver = await self.means.driver()
        return next((each for each in await driver.guests() if each.id == server_id), None)

    async def settle(self, task: Task, state: State, power: Power, **values: Any) -> None:
        """
        The last write, unless it was made.

        :raises Going:
        """
        await self.last_write(task, lambda c: settle(c, self.server_id(task), state, power, **values))

    async def last_write(self, task: Task, *changes: Callable[[Connection], object]) -> None:
        """
        What has come of it, with the end of its event; made once.

        :raises Going: nothing was written
        """
        if not task.state.get("settled"):
            await task.write(self._settled, task, changes, state={**task.state, "settled": True})

    def _settled(self, connection: Connection, task: Task, changes: tuple[Callable[[Connection], object], ...]) -> None:
        server = staying(connection, task)
        for change in changes:
            change(connection)
        note_event(connection, server.id, task.request_id, self.event, host=server.host, result=EVENT_SUCCESS)

    async def begin(self, task: Task) -> None:
        """Note that it has begun, and when, once."""
        if not task.state:
            await task.write(self._begun, task, state={"begun": self.means.reactor.seconds()})

    def patience_s(self, task: Task) -> float:
        """
        How long its guest may still take that was asked to shut down: one that was begun again, after an upgrade or
        a kill, does not wait from the beginning.
        """
        most = self.means.patience_s
        now: float = self.means.reactor.seconds()
        begun: float = task.state.get("begun", now)
        return max(0.0, min(most, begun + most - now))

    def _begun(self, connection: Connection, task: Task) -> None:
        server = staying(connection, task)
        note_event(connection, server.id, task.request_id, self.event, host=server.host)

    # ---- undoing

    async def undo_unless_done(self, task: Task) -> Fields | None:
        """A task that is called off between its last write and its end is done."""
        if not task.state.get("settled"):
            return await self.undo(task)
        await self.tidy(task)
        return None

    async def undo(self, task: Task) -> Fields | None:
        """It could not be done: tell what the server is now, and why; once."""
        if task.state.get("undone"):
            return None
        server = await self.means.database.read(read_server, self.server_id(task))
        if is_going(server):
            await self._ended(task)
            return None
        values = await self._back(task, server)
        await task.write(self._undone, task, values, state={**task.state, "undone": True})
        return None

    async def _back(self, task: Task, server: Server) -> Mapping[str, Any]:
        try:
            if await self.is_reset(task):
                if task.state:  # it had begun
                    await self.as_recorded(task, server)
                return {}
            return await self.back(task, server)
        except HostAway:
            raise
        except (DriverError, PlugFailed, OSError, *TENANTS):
            self._log.failure("server {server_id} is not as it was", server_id=server.id)
            return {**observed(server, await self.seen(server.id)), "state": State.ERROR}

    async def back(self, task: Task, server: Server) -> Mapping[str, Any]:
        """
        Let the guest be as it was, as far as can be; what raises leaves the server in ``ERROR``.

        :return: columns, ``state`` among them
        """
        return observed(server, await self.seen(server.id))

    async def as_recorded(self, task: Task, server: Server) -> None:
        """The same where the state was reset: the server's row is decided, and not written to any more."""
        await self.back(task, server)

    async def tidy(self, task: Task) -> None:
        """What is left of work that was done goes; safe to call again."""

    def _undone(self, connection: Connection, task: Task, values: Mapping[str, Any]) -> None:
        server, trouble = read_server(connection, self.server_id(task)), Trouble.saved(task)
        if was_reset(connection, task.id):
            trouble = CALLED_OFF
        elif not is_going(server):
            self.write_back(connection, task, server)
            fail(connection, server.id, trouble.code, trouble.message, trouble.details, **values)
        ended = {"result": EVENT_ERROR, "details": trouble.details or trouble.message}
        note_event(connection, server.id, task.request_id, self.event, host=server.host, **ended)

    async def is_reset(self, task: Task) -> bool:
        """Whether its server's state was reset: the records are decided, and the guest is to be as they say."""
        return await self.means.database.read(was_reset, task.id)

    def write_back(self, connection: Connection, task: Task, server: Server) -> None:
        """What else is as it was, in the same transaction."""


STATES: Final[Mapping[Power, State]] = {
    Power.RUNNING: State.ACTIVE,
    Power.PAUSED: State.PAUSED,
    Power.SUSPENDED: State.SUSPENDED,
    Power.OFF: State.STOPPED,
    Power.CRASHED: State.STOPPED,
}


def observed(server: Server, seen: Seen | None) -> dict[str, Any]:
    """The columns of a server whose guest was looked at; ``wanted`` as well, since what was asked for is not done."""
    if seen is None or seen.power not in STATES:
        return {"state": State.ERROR, "power": int(Power.UNKNOWN)}
    state = STATES[seen.power]
    wanted = {
        State.ACTIVE: Wanted.RUNNING,
        State.PAUSED: Wanted.PAUSED,
        State.SUSPENDED: Wanted.SUSPENDED,
        State.STOPPED: Wanted.STOPPED,
    }[state]
    return {"state": state, "power": int(seen.power), "wanted": wanted.value}


def _own_ports(connection: Connection, server_id: str, port_ids: list[str], all_of_it: bool) -> list[str]:
    known = [each.port_id for each in read_server(connection, server_id).interfaces] if all_of_it else []
    asked = {*port_ids, *known}
    return sorted(asked - ports_of_others(connection, server_id, asked))
