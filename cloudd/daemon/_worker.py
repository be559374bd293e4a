# -*- test-case-name: tests.daemon.test_processes -*-
"""
A worker process: what the loader's fork becomes.

It opens what the kernel lends to generations, loads the generation it was told to boot, accepts connections, and
does what the anchor asks over the link: health, metrics, status, swap, hand-over, stop.  When the link ends, the anchor
is dead: the worker serves on, and waits at its rendezvous for an anchor that takes the dead one's place.

A worker is ``booting``, then ``serving``; one that was forked for a hand-over is ``standby`` in between.  An old one is
``leaving`` from the decision until its last connection has moved or ended.
"""

from __future__ import annotations

import gc
import importlib
import os
import signal
import socket
import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, cast

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.protocol import ServerFactory
from twisted.internet.task import deferLater
from twisted.logger import ILogObserver, Logger, LogLevel, globalLogBeginner, textFileLogObserver

from cloudd.database import DatabaseDamaged, open_object_index
from cloudd.interfaces.application import OperationRefused, PartHealth, Resources
from cloudd.interfaces.settings import Settings
from cloudd.protocols.http import HTTPServerFactory, install_lean
from reload import FullCollections, Generation

from ._access_log import AccessLog, access_log_file
from ._anchor_link import AnchorLink, LinkedHost, LinkedOrders
from ._checkup import Checked, check_databases
from ._code_source import CodeSource
from ._database_part import DatabasePart, noted_place, open_place
from ._database_place import control_place
from ._face_ports import FacePorts
from ._following import Following
from ._freeing import DELAY_S as FREE_DELAY_S
from ._freeing import Freeing
from ._gauges import add_worker_gauges, connections_by_generation
from ._generations import Generations, PrepareFailed, place_and_words
from ._heaps import use_few_heaps
from ._hypervisor import LENT, hypervisor_of
from ._link import Callee
from ._messaging import bus_of, leave
from ._metrics import WorkerMetrics
from ._moving import Moving, read_state_file, state_file
from ._naming import name_process
from ._orphan import Orphan, Standing
from ._prepare import prepare_host
from ._priority import POLITE, be_normal
from ._rendezvous import Rendezvous, Visit, Welcome
from ._site import WorkerSite
from ._spec import WorkerSpec
from ._state_folder import ProcessLock, StateFolder
from ._threads import WorkerThreads
from ._turns import take_short_turns
from ._worker_canary import WorkerCanary
from .settings import settings_from_plain

LONGEST_CHECK_S = 90
WINDOW_SLACK_S = 30.0  # the anchor ends the time of supervision; only where it is gone does the worker itself
FREE_SPREAD_S = 0.1
#: Guests may be anybody's: one that opens connections without end is not to take all descriptors.
MOST_OF_ONE = {"metadata": 32}
SETTLE_S = 2.0  # until messages come here, which takes some milliseconds; a broker may hang
# Twisted's notes on every port, loop and connection.
_CHATTER = frozenset({"log_legacy", "twisted.internet.base", "twisted.internet.endpoints.OneShotFactory"})


class Worker:
    """
    One worker, from ``start`` until it stops the reactor.

    :param link_socket: its end of the link; closed here
    :param listeners: in the order of ``spec.faces``; closed here
    :param preloaded: a generation that was loaded before the fork
    """

    log = Logger()

    def __init__(
        self,
        spec: WorkerSpec,
        reactor: Any,
        link_socket: socket.socket,
        listeners: list[socket.socket],
        preloaded: Generation | None,
    ) -> None:
        self._spec = spec
        self._reactor = reactor
        self._link_socket = link_socket
        self._settings: Settings = settings_from_plain(spec.settings)
        self._state = StateFolder(self._settings.state)
        self._source = CodeSource(self._state.code, preloaded)
        self._threads = WorkerThreads(reactor, self._settings.workers.threads)
        readers = spec.database_readers
        self._database = open_place(
            control_place(self._settings, self._state), reactor, readers, in_background=spec.role == "agent"
        )
        self._object_index = open_object_index(self._state.object_index, reactor=reactor, threads=readers)
        self._metrics = WorkerMetrics()
        self._switches = self._metrics.histogram(
            "cloudd_switch_seconds", "Time in which a worker did nothing but switch to another generation"
        )
        self._bus = bus_of(spec.role, self._settings, reactor, self._metrics)
        self._hypervisor = hypervisor_of(spec.role, self._settings, reactor)
        self._access_log = AccessLog(access_log_file(self._state.path, self._settings.log.access_file))
        freeing = Freeing(
            reactor,
            lambda: [self, self._generations, self._site, self._metrics.registry, *self._factories.values()],
            self._database.forget_statements,
            FREE_DELAY_S + os.getpid() % 8 * FREE_SPREAD_S,
        )
        self._generations = Generations(reactor, self._threads, self._source, self._make_resources, freeing)
        self._site = WorkerSite(
            self._generations,
            self._metrics.requests,
            self._access_log,
            self._settings.log.access_format,
            reactor.seconds,
            spec.name,
        )
        self._factories: dict[str, HTTPServerFactory] = {}
        self._ports = FacePorts(reactor, spec.faces, listeners, self._factories)
        self._moving = Moving(
            reactor,
            self._factories,
            self,
            lambda phase, **facts: self._anchor.cast("handover", phase=phase, facts=facts),
            self._site.moved,
            self._settings.upgrade.window_s + WINDOW_SLACK_S,
            self._generations.spoken,
        )
        self._collections = FullCollections(
            reactor,
            lambda: self._generations.is_changing or self._generations.has_just_changed,
            self.count_connections,
            lambda: self._generations.count_after(spec.generation),  # that one is frozen, if it came with the fork
        )
        self._canary = WorkerCanary(reactor, self._generations, self._factories)
        self._orphan = Orphan(
            spec.name,
            reactor,
            self._threads,
            self._state.code,
            self._moving,
            self,
            lambda: self._settings.workers.orphan_timeout_s,
            lambda: self._settings.workers.stop_timeout_s,
        )
        callees: dict[str, Callee] = {
            "health": self._health,
            "metrics": self._metrics.export,
            "counts": self._metrics.requests.totals,
            "answers": self._metrics.requests.answers,
            "status": self._status,
            "trees": self._generations.trees,
            "prepare": self._generations.prepare,
            "commit": self._commit,
            "abort": self._generations.abort,
            "begin_canary": self._canary.begin,
            "move_work": self._generations.move_work,
            "measure_canary": self._canary.measure,
            "check_canary": self._generations.check_canary,
            "stop": self.end_soon,
            "reload": self._reload,
            "anchor_changes": self._anchor_changes,
            "take_over": self._take_over,
            "open_ports": self.open_ports,
            "survey": self._moving.survey,
            "decide": self._moving.decide,
            "abort_handover": self._moving.abort,
            "take_back": self._moving.take_back,
            "end_window": self._moving.end_window,
            "note": self._note,
            "operate": self._operate,
            **DatabasePart(self._database, self._threads).callees(),
        }
        self._anchor = AnchorLink(callees, reactor, self._anchor_has_gone)
        self._host = LinkedHost(self._anchor)
        self._rendezvous = Rendezvous(reactor, self._state.run, self._receive_visit)
        self._standby_state: dict[str, Any] = {}
        self._state_name = "booting"
        self._began = reactor.seconds()
        self._stopping = False
        self._ending = False
        self._leaving = False
        self._deadline = 0.0  # of the drain
        self.status = 0
        self._generations.canary_ended = self._canary.ended
        self._generations.left = Following(reactor, self._factories, self._generations.serving_state).follow
        add_worker_gauges(self._metrics, self._factories, self._generations, self._threads, self._access_log)

    def start(self) -> None:
        """Begin; to be called in the running reactor."""
        factory = ServerFactory.forProtocol(lambda: self._anchor.link)
        self._reactor.adoptStreamConnection(self._link_socket.fileno(), socket.AF_UNIX, factory)
        self._link_socket.close()
        self._threads.start()
        self._collections.start()
        signal.signal(signal.SIGTERM, lambda *_: self._reactor.callFromThread(self._asked_to_end))
        Deferred.fromCoroutine(self._boot()).addErrback(self._failed)

    async def _boot(self) -> None:
        # Until this process ends, a daemon that comes after a killed one waits for it.
        ProcessLock(self._state.workers_lock, shared=True).take()
        if self._spec.role == "prepare":
            await self._prepare_host()
            return
        if self._spec.role == "check" or self._spec.standby:
            signal.alarm(LONGEST_CHECK_S)  # new code may hang here, when nobody is left who would end us
        if self._spec.role == "check":
            os.nice(POLITE)
            await self._generations.prepare(self._spec.generation, self._spec.tree_hash)
            self._generations.commit(self._spec.generation, {})  # what hangs when it starts would do so in all workers
            await self._end(0)
            return
        self._access_log.start()
        if self._bus is not None:
            self._bus.start()
        await self._generations.prepare(self._spec.generation, self._spec.tree_hash)
        if self._stopping:
            return
        for face in self._spec.faces:
            self._factories[face] = HTTPServerFactory(
                self._site, self._settings.http, face, self._reactor, per_client=MOST_OF_ONE.get(face, 0)
            )
        self._collections.first()
        signal.alarm(0)
        self._rendezvous.open()
        self._state_name = "standby"
        if not self._spec.standby:
            self.take_over()
        self._anchor.cast("ready", generation=self._spec.generation)

    async def _prepare_host(self) -> None:
        spec = self._spec
        resources = self._make_resources(spec.generation)
        written = await prepare_host(spec, self._state, self._threads, self._source, resources)
        self._anchor.cast("prepared", written=written)
        await self._end(0)

    def _failed(self, failure: Any) -> None:
        cause = place_and_words(failure.value)
        if failure.check(PrepareFailed, DatabaseDamaged):
            self.log.error("{worker} cannot start: {cause}", worker=self._spec.name, cause=cause)
        else:
            self.log.failure("{worker} cannot start", failure, worker=self._spec.name)
        self._anchor.cast("failed", cause=cause)
        Deferred.fromCoroutine(self._end(1))

    # hand-overs, and anchors that come

    async def _take_over(self) -> None:
        """The same for the anchor, which lets the old worker leave when this one gets messages."""
        self.take_over()
        if self._bus is not None:
            await self._bus.settled(SETTLE_S)

    def take_over(self) -> None:
        """Serve from now on."""
        if self._state_name == "standby" and not self._stopping:
            self._state_name = "serving"
            be_normal()
            self._generations.commit(self._spec.generation, self._standby_state)
            self._standby_state = {}
            self.open_ports()

    def open_ports(self) -> None:
        """Accept connections."""
        if not self._ports.are_open and not self._stopping:
            self._state_name = "serving"
            self._ports.open()

    def close_ports(self) -> None:
        """Accept no more, here; the sockets stay open and clients wait in their queues."""
        self._ports.close()
        self._state_name = "leaving"

    def left(self) -> None:
        """All that could move has moved: end, with what still runs without a connection."""
        self.end_soon(self._settings.workers.stop_timeout_s)

    def _receive_visit(self, question: Visit, brought: tuple[int, ...]) -> tuple[Welcome, Sequence[int]]:
        if question.purpose == "listen":
            self._ports.change(dict(zip(question.faces, brought, strict=True)))
            return self._welcome(), ()
        end, *more = brought
        if question.purpose == "anchor":
            self._meet_anchor(socket.socket(fileno=end))
            return self._welcome(), self._ports.descriptors()
        if question.purpose == "give":
            gift = state_file(self._generations.snapshot())
            self._reactor.callLater(1.0, os.close, gift)
            self._moving.give(socket.socket(fileno=end), question.generation)
            return self._welcome(), [gift]
        if more:
            self._standby_state = read_state_file(more[0])
        be_normal()
        self._moving.take(socket.socket(fileno=end), question.generation)
        return self._welcome(), ()

    def _welcome(self) -> Welcome:
        current = self._generations.current or self._generations.prepared
        return Welcome(
            name=self._spec.name,
            role=self._spec.role,
            state=self._state_name,
            generation=current.number if current is not None else 0,
            tree_hash=current.tree_hash if current is not None else "",
            started_at=self._began,
            faces=self._spec.faces,
        )

    def _meet_anchor(self, end: socket.socket) -> None:
        """An anchor takes the place of the one that had this worker forked, which is dead."""
        self._orphan.end()
        link = self._anchor.renew()
        self._reactor.adoptStreamConnection(end.fileno(), socket.AF_UNIX, ServerFactory.forProtocol(lambda: link))
        end.close()
        self._anchor.renewed()
        self.log.info("{worker}: a new anchor has come", worker=self._spec.name)

    def _make_resources(self, generation: int) -> Resources:
        return Resources(
            reactor=self._reactor,
            settings=self._settings,
            threads=self._threads,
            database=self._database,
            object_index=self._object_index,
            metrics=self._metrics,
            host=self._host,
            role=self._spec.role,
            generation=generation,
            urls=dict(self._spec.urls),
            secrets=self._state.secrets,
            bus=self._bus,
            orders=LinkedOrders(self._anchor) if self._bus is not None else None,
            extra={} if self._hypervisor is None else {LENT: self._hypervisor},
        )

    # what the anchor asks

    async def _health(self) -> list[dict[str, Any]]:
        parts = self._generations.health()
        if self._access_log.failure:
            parts.append(PartHealth("access log", False, self._access_log.failure))
        databases: dict[str, Checked] = {"database": self._database, "object index": self._object_index}
        parts += await check_databases(databases, self._reactor)
        parts = noted_place(parts, self._database, self._settings)
        if self._bus is not None:
            parts += self._bus.health()
        return [attrs.asdict(part) for part in parts]

    def _status(self) -> dict[str, Any]:
        return {
            "state": self._state_name,
            "generations": self._generations.status(self._connections_by_generation()),
            "highest": self._generations.highest,
        }

    def _commit(self, number: int) -> list[str]:
        """Switch to a generation; nothing else is done in this process meanwhile, so the time is a pause."""
        began = time.perf_counter()
        try:
            return self._generations.commit(number)
        finally:
            self._switches.observe(time.perf_counter() - began)

    def count_connections(self) -> int:
        """Of all faces."""
        return sum(len(factory.connections) for factory in self._factories.values())

    def _connections_by_generation(self) -> dict[int, int]:
        """Where the request of each connection is answered, or, of an idle one, the next will be."""
        counts: Counter[int] = Counter()
        for factory in self._factories.values():
            counts.update(connections_by_generation(factory, self._generations))
        return counts

    def _reload(self, settings: Mapping[str, Any]) -> None:
        """SIGHUP at the anchor: new values of those settings that may change, and a fresh log file."""
        self._settings = settings_from_plain(settings)
        self._site.set_access_format(self._settings.log.access_format)
        self._access_log.reopen()

    def _note(self, kind: str, data: Mapping[str, Any]) -> None:
        """Tell who follows the host's events; a generation that is older than these events tells nobody."""
        current = self._generations.current
        note = getattr(current.application, "note", None) if current is not None else None
        if note is not None:
            note(kind, data)

    def _operate(self, call: str, arguments: Mapping[str, Any]) -> Any:
        """What an operator asks for; a generation that is older than such calls knows none."""
        current = self._generations.current
        operate = getattr(current.application, "operate", None) if current is not None else None
        if operate is None:
            raise OperationRefused(f"the code that runs has no {call}")
        return operate(call, arguments)

    def _anchor_changes(self) -> None:
        """The anchor becomes other code, and comes again in a moment."""
        self._orphan.is_announced = True
        self._anchor.announced()

    # the end

    def _asked_to_end(self) -> None:
        self.end_soon(self._settings.workers.stop_timeout_s)

    def _anchor_has_gone(self) -> None:
        if self._leaving:
            self._reactor.stop()  # our last words were sent
        elif self._stopping:
            pass
        elif self._state_name == "booting":
            self.end_soon(0)
        else:
            self._orphan.begin()

    def standing(self) -> Standing:
        """How far it is in a hand-over."""
        moving = self._moving
        return Standing(
            state=self._state_name,
            generation=self._spec.generation,
            is_new=self._spec.standby,
            is_taking=moving.is_taking,
            is_undecided=moving.is_undecided,
            is_leaving=moving.is_leaving,
            gives_to=moving.generation,
        )

    def settle(self, decided: int) -> None:
        """Do what was decided in a swap."""
        self._generations.settle(decided)

    def end_soon(self, timeout_s: float) -> None:
        """End in order within ``timeout_s``; a second call may shorten that."""
        deadline = self._reactor.seconds() + timeout_s
        if self._stopping:
            self._deadline = min(self._deadline, deadline)
            return
        self._stopping, self._deadline = True, deadline
        self._moving.abort_all("the worker is told to end")
        ending = Deferred.fromCoroutine(self._drain(timeout_s))
        ending.addErrback(lambda failure: self.log.failure("stopping", failure))
        ending.addBoth(lambda _: Deferred.fromCoroutine(self._end(0)))

    async def _drain(self, timeout_s: float) -> None:
        self.close_ports()
        self._ports.shut()
        for factory in self._factories.values():
            factory.drain(timeout_s)
        resting = self._generations.rest()
        resting.addErrback(lambda failure: self.log.failure("the application's own work does not end", failure))
        # A request that changes something goes on when its client has left: connections alone do not tell.
        while (
            not resting.called
            or self._generations.in_flight()
            or any(factory.connections for factory in self._factories.values())
        ):
            if self._reactor.seconds() >= self._deadline:
                self._cut_off()
                return
            await deferLater(self._reactor, 0.02)

    def _cut_off(self) -> None:
        for factory in self._factories.values():
            for connection in list(factory.connections):
                connection.transport.abortConnection()

    async def _end(self, status: int) -> None:
        if self._ending:
            return
        self._ending = True
        self.status = status
        self._stopping = True
        self._rendezvous.close()
        try:
            self._generations.stop()
            await leave(self._bus, self._reactor)
            if self._hypervisor is not None:
                await self._hypervisor.close()
            await self._database.close()
            await self._object_index.close()
        finally:
            if self._access_log.is_open:
                self._access_log.stop()
            self._leaving = True
            self._anchor.link.close()
            if self._anchor.link.is_lost:
                self._reactor.stop()


def run_worker(
    spec: WorkerSpec, link: socket.socket, listeners: list[socket.socket], preloaded: Generation | None = None
) -> int:
    """
    Become a worker; to be called in a fresh fork of a process without threads and reactor.

    :param preloaded: a generation that was loaded before the fork
    :return: the exit status of the process
    """
    os.umask(0o077)
    name_process(spec.name)
    take_short_turns()
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    gc.enable()
    use_few_heaps()
    observer = textFileLogObserver(sys.stderr)

    def observe(event: Any) -> None:
        if event.get("log_namespace") in _CHATTER and event.get("log_level") == LogLevel.info:
            return
        observer({**event, "log_system": f"{spec.name} {event.get('log_namespace', '-')}"})

    globalLogBeginner.beginLoggingTo([cast(ILogObserver, observe)], redirectStandardIO=False, discardBuffer=True)
    install_lean()
    reactor: Any = importlib.import_module("twisted.internet.reactor")
    worker = Worker(spec, reactor, link, listeners, preloaded)
    reactor.callWhenRunning(worker.start)
    reactor.run(installSignalHandlers=False)
    return worker.status
