# -*- test-case-name: tests.drivers.test_simulated -*-
"""
Servers that exist in records alone: for hosts without a hypervisor, for tests, and for benches of what is above.

It keeps to the same contract as the real drivers.  Its guests live in a folder, so they go on when its process ends;
several objects, of several generations or processes, may look at one folder, while one of them at a time changes it.
What it does not play: a guest that does not hear that it is to shut down, and what a guest writes on its disk.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from attrs import evolve
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import deferLater
from twisted.logger import Logger
from zope.interface import implementer

from cloudd.interfaces.application import Threads
from cloudd.interfaces.servers import DriverStopped, Guest, GuestInterface, HostFacts, IServerDriver, Seen

from . import _simulated_calls as calls
from ._full import of_file
from ._simulated_play import Failure, next_turn
from ._simulated_records import Record, Records, canonical
from ._turns import Turn, Turns

LOOK_S: Final = 0.5  # how soon a change by others is seen
FACTS: Final = HostFacts(
    kind="Simulated",
    version=1_000_000,
    vcpus=1_000,
    memory_mib=4 << 20,
    disk_gib=1 << 20,
    architecture="x86_64",
    cpu_model="simulated",
    real=False,
    notes=("Servers are simulated: they are records and run nothing.",),
)


@implementer(IServerDriver)
class SimulatedDriver:
    """
    :param reactor: for latencies, and for looking at what others change
    :param folder: of the guests and of what is played; made by ``start``
    :param threads: for its files
    :param host: what it says to have; ``real`` is ``False`` whatever is given
    """

    name = "simulated"
    _log = Logger()

    def __init__(self, reactor: Any, folder: Path, threads: Threads, host: HostFacts = FACTS) -> None:
        self._reactor = reactor
        self._folder = folder
        self._records = Records(folder)
        self._threads = threads
        self._host = host
        self._observe: Callable[[Seen], None] | None = None
        self._told: dict[str, Seen] = {}  # by id of the server
        self._marks: dict[str, tuple[int, int]] = {}
        self._turns = Turns(canonical)
        self._looking: Deferred[None] | None = None
        self._life: object | None = None  # of the present start

    # IServerDriver

    def start(self, observe: Callable[[Seen], None]) -> Deferred[None]:
        return Deferred.fromCoroutine(self._start(observe))

    def stop(self) -> Deferred[None]:
        return Deferred.fromCoroutine(self._stop())

    def facts(self) -> Deferred[HostFacts]:
        return Deferred.fromCoroutine(self._facts())

    def guests(self) -> Deferred[list[Seen]]:
        return Deferred.fromCoroutine(self._guests())

    def define(self, guest: Guest) -> Deferred[None]:
        return self._call("define", guest.id, lambda server_id: calls.define(self._records, server_id, guest))

    def remove(self, server_id: str) -> Deferred[None]:
        return self._call("remove", server_id, lambda server_id: calls.remove(self._records, server_id))

    def power_on(self, server_id: str) -> Deferred[None]:
        return self._call("power_on", server_id, lambda server_id: calls.power_on(self._records, server_id))

    def power_off(self, server_id: str, patience_s: float) -> Deferred[None]:
        return self._call(
            "power_off", server_id, lambda server_id: calls.power_off(self._records, server_id, patience_s)
        )

    def reboot(self, server_id: str, soft: bool, patience_s: float) -> Deferred[None]:
        return self._call("reboot", server_id, lambda server_id: calls.reboot(self._records, server_id, soft))

    def pause(self, server_id: str) -> Deferred[None]:
        return self._call("pause", server_id, lambda server_id: calls.change(self._records, server_id, "pause"))

    def unpause(self, server_id: str) -> Deferred[None]:
        return self._call("unpause", server_id, lambda server_id: calls.change(self._records, server_id, "unpause"))

    def suspend(self, server_id: str) -> Deferred[None]:
        return self._call("suspend", server_id, lambda server_id: calls.change(self._records, server_id, "suspend"))

    def console(self, server_id: str, last_bytes: int) -> Deferred[bytes]:
        return Deferred.fromCoroutine(self._console(server_id, last_bytes))

    def attach_interface(self, server_id: str, interface: GuestInterface) -> Deferred[None]:
        return self._call(
            "attach_interface", server_id, lambda server_id: calls.attach(self._records, server_id, interface)
        )

    def detach_interface(self, server_id: str, port_id: str) -> Deferred[None]:
        return self._call(
            "detach_interface", server_id, lambda server_id: calls.detach(self._records, server_id, port_id)
        )

    def snapshot(self, server_id: str, file: Path) -> Deferred[None]:
        return self._call("snapshot", server_id, lambda server_id: calls.snapshot(self._records, server_id, file))

    def rebuild_disk(self, guest: Guest) -> Deferred[None]:
        return self._call("rebuild_disk", guest.id, lambda server_id: calls.rebuild(self._records, server_id, guest))

    # Without a guest

    async def _start(self, observe: Callable[[Seen], None]) -> None:
        await self._threads.run(self._records.prepare)
        self._marks = await self._threads.run(self._records.marks)
        self._told = {record.id: record.seen() for record in await self._threads.run(self._records.all) if record.id}
        self._observe = observe
        self._turns.open()
        self._looking = Deferred.fromCoroutine(self._keep_looking())

    async def _stop(self) -> None:
        self._observe, self._life = None, None
        looking, self._looking = self._looking, None
        if looking is not None:
            looking.addErrback(lambda failure: None)  # cancelled here; all else is logged where it happens
            looking.cancel()
        await self._turns.close()

    async def _facts(self) -> HostFacts:
        await self._suffer("facts", "")
        return evolve(self._host, real=False)

    async def _guests(self) -> list[Seen]:
        await self._suffer("guests", "")
        return [record.seen() for record in await self._threads.run(self._records.all)]

    async def _console(self, server_id: str, last_bytes: int) -> bytes:
        server_id = canonical(server_id)
        await self._suffer("console", server_id)
        await self._threads.run(self._records.need, server_id)
        return await self._threads.run(self._records.console, server_id, last_bytes)

    async def _suffer(self, call: str, server_id: str) -> None:
        latency_s, failure = await self._threads.run(next_turn, self._folder, call, server_id)
        await self._wait(latency_s)
        if failure is not None:
            raise failure.error()

    # Calls for one guest, one after the other

    def _call(self, call: str, server_id: str, work: Callable[[str], Record | None]) -> Deferred[None]:
        return self._turns.take(server_id, lambda turn: self._play(turn, call, work))

    async def _play(self, turn: Turn, call: str, work: Callable[[str], Record | None]) -> None:
        played = await self._threads.run(self._attempt, call, turn.server_id, work)
        if played is None:
            return
        latency_s, failure = played
        await turn.wait(deferLater(self._reactor, latency_s))
        if failure is None or failure.late:
            turn.check()
            await self._threads.run(self._done, turn.server_id, work)
        if failure is not None:
            raise failure.error()

    def _attempt(
        self, call: str, server_id: str, work: Callable[[str], Record | None]
    ) -> tuple[float, Failure | None] | None:
        """In a thread: do it at once if nothing is played."""
        played = next_turn(self._folder, call, server_id)
        if played != (0.0, None):
            return played
        self._done(server_id, work)
        return None

    def _done(self, server_id: str, work: Callable[[str], Record | None]) -> None:
        """In a thread."""
        try:
            record = work(server_id)
        except OSError as error:
            raise of_file(error, "a file of the simulated host") from error
        self._reactor.callFromThread(self._tell, server_id, record)

    async def _wait(self, seconds: float) -> None:
        if seconds > 0:
            await deferLater(self._reactor, seconds, lambda: None)

    # What others change, and what is told

    async def _keep_looking(self) -> None:
        life = self._life = object()
        while self._life is life:  # who is told may stop this, and is called from here: then there is no wait to cancel
            await self._wait(LOOK_S)
            try:
                await self._look()
            except (CancelledError, DriverStopped):
                return
            except Exception:  # the next look may go well
                self._log.failure("cannot look at simulated guests in {folder}", folder=str(self._folder))

    async def _look(self) -> None:
        marks = await self._threads.run(self._records.marks)
        changed = {server_id for server_id, mark in marks.items() if self._marks.get(server_id) != mark}
        for server_id in self._marks.keys() - marks.keys():
            self._told.pop(server_id, None)
        self._marks = marks
        for server_id in changed:
            await self._look_at(server_id)

    async def _look_at(self, server_id: str) -> None:
        if self._turns.busy(server_id):  # a call under way may change it: looked at the next time
            self._marks.pop(server_id, None)
            return
        await self._turns.take(server_id, self._look_in_turn)  # what is read is told before a later call tells its own

    async def _look_in_turn(self, turn: Turn) -> None:
        self._tell(turn.server_id, await self._threads.run(self._records.get, turn.server_id))

    def _tell(self, server_id: str, record: Record | None) -> None:
        if record is None:
            self._told.pop(server_id, None)
            return
        seen = record.seen()
        if not seen.id or self._told.get(server_id) == seen:
            return
        self._told[server_id] = seen
        if self._observe is not None:
            self._observe(seen)
