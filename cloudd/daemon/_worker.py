# -*- test-case-name: tests.daemon.test_processes -*-
"""
A worker process: what the loader's fork becomes.

It opens what the kernel lends to generations, loads the generation it was told to boot, accepts connections, and
does what the anchor asks over the link: health, metrics, status, swap, stop.  When the link ends, the anchor is dead:
the worker stops accepting at once, lets its requests end for a short time, and goes.
"""

from __future__ import annotations

import gc
import importlib
import os
import signal
import socket
import sys
from collections import Counter
from collections.abc import Mapping
from typing import Any, cast

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.protocol import ServerFactory
from twisted.logger import ILogObserver, Logger, LogLevel, globalLogBeginner, textFileLogObserver

from cloudd.database import DatabaseDamaged, open_control_database, open_object_index
from cloudd.interfaces.application import PartHealth, Resources
from cloudd.interfaces.settings import Settings
from cloudd.protocols.http import HTTPServerFactory, install_lean, listen
from reload import Generation

from ._access_log import AccessLog, access_log_file
from ._checkup import Checked, check_databases
from ._code_source import CodeSource
from ._gauges import add_worker_gauges, connections_by_generation
from ._generations import FREE_DELAY_S, Generations, PrepareFailed, cause_of
from ._link import Callee, Link
from ._metrics import WorkerMetrics
from ._naming import name_process
from ._prepare import prepare_host
from ._site import WorkerSite
from ._spec import WorkerSpec
from ._state_folder import ProcessLock, StateFolder
from ._threads import WorkerThreads
from ._unix_port import listen_unix
from .settings import settings_from_plain

ORPHAN_TIMEOUT_S = 5.0
HOST_TIMEOUT_S = 3.0
PLAN_TIMEOUT_S = 20.0  # a code tree is read, on a disk that may be slow
FREE_SPREAD_S = 0.3
_CHATTER = frozenset({"log_legacy", "twisted.internet.base"})  # Twisted's notes on every port and loop


class LinkedHost:
    """``cloudd.interfaces.application.Host``: the anchor gathers from every worker."""

    def __init__(self, link: Link) -> None:
        self._link = link

    def health(self) -> Deferred[dict[str, Any]]:
        """Health over all workers."""
        return Deferred.fromCoroutine(self._link.call("host_health", timeout_s=HOST_TIMEOUT_S))

    def metrics(self) -> Deferred[bytes]:
        """The Prometheus text exposition over all workers."""
        return Deferred.fromCoroutine(self._metrics())

    def status(self) -> Deferred[dict[str, Any]]:
        """Code, workers and their generations, and the change under way."""
        return Deferred.fromCoroutine(self._link.call("host_status", timeout_s=HOST_TIMEOUT_S))

    def audit(self, limit: int) -> Deferred[dict[str, Any]]:
        """The last entries of the audit log."""
        return Deferred.fromCoroutine(self._link.call("host_audit", timeout_s=HOST_TIMEOUT_S, limit=limit))

    def plan(self) -> Deferred[dict[str, Any]]:
        """What an upgrade to the start tree would do."""
        return Deferred.fromCoroutine(self._link.call("host_plan", timeout_s=PLAN_TIMEOUT_S))

    def rates(self, without: str = "") -> Deferred[dict[str, Any]]:
        """Requests, errors and milliseconds of the last minutes."""
        return Deferred.fromCoroutine(self._link.call("host_rates", timeout_s=HOST_TIMEOUT_S, without=without))

    async def _metrics(self) -> bytes:
        text: str = await self._link.call("host_metrics", timeout_s=HOST_TIMEOUT_S)
        return text.encode()


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
        self._listeners = listeners
        self._settings: Settings = settings_from_plain(spec.settings)
        self._state = StateFolder(self._settings.state)
        self._source = CodeSource(self._state.code, preloaded)
        self._threads = WorkerThreads(reactor, self._settings.workers.threads)
        self._database = open_control_database(self._state.control_database, reactor=reactor)
        self._object_index = open_object_index(self._state.object_index, reactor=reactor)
        self._metrics = WorkerMetrics()
        self._access_log = AccessLog(access_log_file(self._state.path, self._settings.log.access_file))
        self._generations = Generations(
            reactor,
            self._threads,
            self._source,
            self._make_resources,
            self._database.forget_statements,
            free_delay_s=FREE_DELAY_S + os.getpid() % 8 * FREE_SPREAD_S,
        )
        self._site = WorkerSite(
            self._generations,
            self._metrics.requests,
            self._access_log,
            self._settings.log.access_format,
            reactor.seconds,
            spec.name,
        )
        callees: dict[str, Callee] = {
            "health": self._health,
            "metrics": self._metrics.export,
            "counts": self._metrics.requests.totals,
            "status": self._status,
            "prepare": self._generations.prepare,
            "commit": self._generations.commit,
            "abort": self._generations.abort,
            "stop": self._stop_soon,
            "reload": self._reload,
        }
        self._link = Link(callees, reactor, self._anchor_has_gone)
        self._host = LinkedHost(self._link)
        self._factories: dict[str, HTTPServerFactory] = {}
        self._ports: list[Any] = []
        self._began = reactor.seconds()
        self._ready = False
        self._stopping = False
        self._ending = False
        self._leaving = False
        self._deadline = 0.0  # of the drain
        self.status = 0
        add_worker_gauges(self._metrics, self._factories, self._generations, self._threads, self._access_log)

    def start(self) -> None:
        """Begin; to be called in the running reactor."""
        factory = ServerFactory.forProtocol(lambda: self._link)
        self._reactor.adoptStreamConnection(self._link_socket.fileno(), socket.AF_UNIX, factory)
        self._link_socket.close()
        self._threads.start()
        signal.signal(signal.SIGTERM, lambda *_: self._reactor.callFromThread(self._asked_to_end))
        Deferred.fromCoroutine(self._boot()).addErrback(self._failed)

    async def _boot(self) -> None:
        # Until this process ends, a daemon that comes after a killed one waits for it.
        ProcessLock(self._state.workers_lock, shared=True).take()
        if self._spec.role == "prepare":
            await self._prepare_host()
            return
        self._access_log.start()
        await self._generations.boot(self._spec.generation, self._spec.tree_hash)
        if self._stopping:
            return
        for face, listener in zip(self._spec.faces, self._listeners, strict=True):
            self._accept(face, listener)
        self._ready = True
        self._link.cast("ready", generation=self._spec.generation)

    async def _prepare_host(self) -> None:
        spec = self._spec
        resources = self._make_resources(spec.generation)
        written = await prepare_host(spec, self._state, self._threads, self._source, resources)
        self._link.cast("prepared", written=written)
        await self._end(0)

    def _failed(self, failure: Any) -> None:
        cause = cause_of(failure.value)
        if failure.check(PrepareFailed, DatabaseDamaged):
            self.log.error("{worker} cannot start: {cause}", worker=self._spec.name, cause=cause)
        else:
            self.log.failure("{worker} cannot start", failure, worker=self._spec.name)
        self._link.cast("failed", cause=cause)
        Deferred.fromCoroutine(self._end(1))

    def _accept(self, face: str, listener: socket.socket) -> None:
        factory = HTTPServerFactory(self._site, self._settings.http, face, self._reactor)
        self._factories[face] = factory
        # Both kinds of port never call shutdown(2), which would end the other workers' listening too.
        if listener.family == socket.AF_UNIX:
            self._ports.append(listen_unix(self._reactor, listener, factory))
        else:
            self._ports.append(listen(self._reactor, listener.fileno(), factory))
        listener.close()

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
        )

    # what the anchor asks

    async def _health(self) -> list[dict[str, Any]]:
        parts = self._generations.health()
        if self._access_log.failure:
            parts.append(PartHealth("access log", False, self._access_log.failure))
        databases: dict[str, Checked] = {"database": self._database, "object index": self._object_index}
        parts += await check_databases(databases, self._reactor)
        return [attrs.asdict(part) for part in parts]

    def _status(self) -> dict[str, Any]:
        return {"generations": self._generations.status(self._connections_by_generation())}

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

    # the end

    def _asked_to_end(self) -> None:
        self._stop_soon(self._settings.workers.stop_timeout_s)

    def _anchor_has_gone(self) -> None:
        if self._leaving:
            self._reactor.stop()  # our last words were sent
        elif not self._stopping:
            self.log.error("{worker}: the anchor has gone, ending", worker=self._spec.name)
            self._stop_soon(min(ORPHAN_TIMEOUT_S, self._settings.workers.stop_timeout_s))

    def _stop_soon(self, timeout_s: float) -> None:
        """End in order within ``timeout_s``; a second call may shorten that."""
        deadline = self._reactor.seconds() + timeout_s
        if self._stopping:
            self._deadline = min(self._deadline, deadline)
            return
        self._stopping, self._deadline = True, deadline
        ending = Deferred.fromCoroutine(self._drain(timeout_s))
        ending.addErrback(lambda failure: self.log.failure("stopping", failure))
        ending.addBoth(lambda _: Deferred.fromCoroutine(self._end(0)))

    async def _drain(self, timeout_s: float) -> None:
        for port in self._ports:
            port.stopListening()
        for factory in self._factories.values():
            factory.drain(timeout_s)
        # A request that changes something goes on when its client has left: connections alone do not tell.
        while self._generations.in_flight() or any(factory.connections for factory in self._factories.values()):
            if self._reactor.seconds() >= self._deadline:
                self._cut_off()
                return
            await self._sleep(0.02)

    def _cut_off(self) -> None:
        for factory in self._factories.values():
            for connection in list(factory.connections):
                connection.transport.abortConnection()

    def _sleep(self, seconds: float) -> Deferred[None]:
        done: Deferred[None] = Deferred()
        self._reactor.callLater(seconds, done.callback, None)
        return done

    async def _end(self, status: int) -> None:
        if self._ending:
            return
        self._ending = True
        self.status = status
        self._stopping = True
        try:
            self._generations.stop()
            await self._database.close()
            await self._object_index.close()
        finally:
            if self._spec.role != "prepare" and self._access_log.is_open:
                self._access_log.stop()
            self._leaving = True
            self._link.close()
            if self._link.is_lost:
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
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    gc.enable()
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
