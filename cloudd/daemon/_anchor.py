# -*- test-case-name: tests.daemon.test_processes -*-
"""
The anchor: the process that twistd starts and everybody else depends on.

It owns the PID, the state folder's lock, the listening sockets and the control socket; it serves no request and loads
no code that an upgrade swaps, so that it has few reasons to fail.  ``startService`` locks and binds, so that twistd
reports what cannot work at once; the rest goes on in the reactor.

Where an anchor was killed, its workers serve on: the next one finds them and their listening sockets (``_succession``).
"""

from __future__ import annotations

import atexit
import contextlib
import os
import resource
import signal
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from attrs import evolve
from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater
from twisted.logger import Logger

import cloudd
from cloudd.control import BOUNDARIES
from cloudd.interfaces.settings import Settings
from cloudd.protocols.control import ControlFactory
from reload import CodeTree, TreeError, compare, remove_unfinished

from ._access_log import access_log_file
from ._audit import AuditLog
from ._becoming import Becoming
from ._committed import Boot, RecordError, boot_committed, choose_boot_tree
from ._controlled import Controlled
from ._database_move import DatabaseMoves
from ._database_place import PlaceError, control_place
from ._heaps import use_few_heaps
from ._holdings import Holdings
from ._host import HostView
from ._incoming import HandOver
from ._inheritance import Inheritance, Launch, Session, try_next
from ._link import Callee
from ._listening import ListenError, endpoints_of
from ._loader_process import LoaderProcess
from ._orders import Orders
from ._ready import notify_systemd, ready_lines, say
from ._slot import reap
from ._spec import WorkerSpec
from ._state_folder import StateFolder, StateFolderError
from ._strangers import StrangerReaper
from ._succession import Found, meet_workers
from ._swap_metrics import SwapMetrics
from ._threads import WorkerThreads
from ._tls_front import TLSFront
from ._trace import Traces
from ._unix_port import listen_unix
from ._upgrade import Upgrades
from ._workers import Decided, SwapFailed, WorkerPool
from .settings import SettingsError, apply_reloadable, changed_settings, settings_to_plain

END_LOOK_S = 0.05
END_PATIENCE_S = 5.0
STRAGGLERS_S = 2.0
TLS_READY_S = 15.0
TRIAL_S = 30.0  # in which new code prepares the host, else the committed code is booted


class Anchor(Service):
    """
    The service of ``twistd cloudd``.

    :param settings: checked
    :param read_again: the settings as their file and the command line say now; may raise ``SettingsError``
    :param environment: usually ``os.environ``
    :param began: when the process began, of the reactor's clock
    :param launch: how twistd was started
    :param inheritance: what this process left itself when it became other code; None: twistd has started it
    """

    log = Logger()

    def __init__(
        self,
        settings: Settings,
        read_again: Callable[[], Settings],
        reactor: Any,
        environment: Mapping[str, str],
        began: float,
        launch: Launch,
        inheritance: Inheritance | None = None,
    ) -> None:
        self._launch = launch
        self._inheritance = inheritance
        self._start_tree = Path(inheritance.start_tree) if inheritance is not None else source_root()
        self._settings = settings
        self._read_again = read_again
        self._reactor = reactor
        self._environment = environment
        self._began = began
        self._state = StateFolder(settings.state)
        self._threads = WorkerThreads(reactor, 4)
        self._audit = AuditLog(self._state.log / "audit.log", self._threads)
        self._swaps = SwapMetrics()
        endpoints = endpoints_of(settings, is_root=os.geteuid() == 0)
        self._tls = TLSFront(reactor, self._state.run, endpoints, settings.listen.tls_processes)
        self._holdings = Holdings(reactor, self._state, settings, self._tls, inheritance)
        self._control_port: Any = None
        self._control: ControlFactory | None = None
        self._pool: WorkerPool | None = None
        self._becoming: Becoming | None = None
        self._strangers = StrangerReaper(reactor)
        self._orphans = inheritance.children if inheritance is not None else []  # loaders of our former self
        self._output: int | None = None
        self._stopping = False
        self._leaves_workers = False

    # twistd

    def startService(self) -> None:
        """Lock, bind; the rest follows in the reactor.  Raises what an operator has to mend."""
        super().startService()
        os.umask(0o077)
        _raise_descriptor_limit()
        signal.signal(signal.SIGPIPE, signal.SIG_IGN)
        # In a terminal SIGHUP says that the terminal has gone; for a daemon it means to read its settings again.
        on_hang_up = self._reactor.stop if os.isatty(0) else self._reload
        signal.signal(signal.SIGHUP, lambda *_: self._reactor.callFromThread(on_hang_up))
        try:
            self._holdings.take()
        except (StateFolderError, ListenError) as error:
            sys.tracebacklimit = 0  # twistd shows what a service raises and ends: its text says all
            raise error from None
        use_few_heaps()
        self._threads.start()
        self._reactor.callWhenRunning(self._begin)

    def stopService(self) -> Deferred[None]:
        """End the workers in order; fires when they have gone.  After a failed start those that were found stay."""
        super().stopService()
        self._stopping = True
        notify_systemd(self._environment, "STOPPING=1")
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: self._reactor.callFromThread(self._hasten))
        return Deferred.fromCoroutine(self._stop())

    # the start

    def _begin(self) -> None:
        Deferred.fromCoroutine(self._start()).addErrback(self._failed)

    async def _start(self) -> None:
        marks = {"twistd": self._reactor.seconds()}
        boot: Boot = await self._threads.run(self._choose_tree)
        self._boot = boot
        marks["code"] = self._reactor.seconds()
        self.log.info("booting {tree}: {cause}", tree=boot.tree.hash[:12], cause=boot.cause)
        if self._stopping:
            return
        self._output = self._open_output()
        callees: dict[str, Callee] = {"host_health": self._host_health, "host_metrics": self._host_metrics}
        pool = self._pool = WorkerPool(
            reactor=self._reactor,
            settings=self._settings,
            decided=self._what_boots(boot),
            make_spec=self._make_spec,
            listeners={face: listener.fileno() for face, listener in self._holdings.listeners.items()},
            start_loader=self._start_loader,
            callees=callees,
        )
        self._host = HostView(
            self._reactor, self._settings, pool, self._began, self._holdings.urls, self._swaps, self._tls
        )
        upgrades = self._upgrades = self._make_upgrades(boot, pool)
        traces = Traces(access_log_file(self._state.path, self._settings.log.access_file), self._threads, upgrades)
        moves = DatabaseMoves(self._reactor, self._state, pool, upgrades, self._audit, self._environment, self._output)
        controlled = Controlled(upgrades, pool, self._host, self._holdings.urls, self._began, traces, moves)
        orders = Orders(upgrades, self._state.path, self._threads, self._reactor.seconds)
        callees.update({**controlled.callees(), **orders.callees()})  # no worker is linked before the pool starts
        self._accept_control(controlled)
        pool.boot_loader()
        written = await self._take_workers_over(pool, upgrades) if self._holdings.found.workers else None
        if written is None:
            await self._holdings.await_old_workers()
            written = await self._prove(pool, upgrades)
        await orders.settle()
        marks["preparation"] = self._reactor.seconds()
        self._tls.start(
            self._boot.tree,
            self._settings.workers.stop_timeout_s,
            self._settings.upgrade.longest_wait_s,
            self._output,
            self._environment,
        )
        await pool.start()
        await self._tls.ready(TLS_READY_S)
        await moves.settle()
        self._host.rates.start()
        self._strangers.start()
        marks["workers"] = self._reactor.seconds()
        if self._inheritance is None:
            await upgrades.note_start(self._boot)
            self._say_ready(written, marks)
            await self._follow_committed(pool.decided)
        self._meet_stragglers(pool)

    async def _follow_committed(self, decided: Decided) -> None:
        """Where the start tree's kernel, or twistd's Python, is not that of the committed code: become that code."""
        if self._own_code().name == decided.tree_hash and decided.interpreter == sys.executable:
            return

        def is_other() -> bool:
            own, committed = (CodeTree.scan(tree, BOUNDARIES) for tree in (source_root(), self._boot.tree.root))
            return bool(compare(own, committed, BOUNDARIES).kernel)

        try:
            other = decided.interpreter != sys.executable or await self._threads.run(is_other)
            cause = await self._threads.run(self._try_next, decided) if other else ""
        except (TreeError, OSError) as error:
            other, cause = False, str(error)
        if cause:
            self.log.error("the anchor runs other code than its workers: {cause}", cause=cause)
            self._host.note_anchor(f"it runs other code than its workers: {cause}")
        elif other:
            self._handed_over(decided)

    async def _take_workers_over(self, pool: WorkerPool, upgrades: Upgrades) -> list[str] | None:
        """
        Go on with the workers of an anchor that was killed.

        :return: credential files that were written, which are none; None: no worker of the committed code serves
        """
        if self._inheritance is not None:
            self._inherit(self._inheritance, pool, upgrades)
        adopted = self._adopt(pool, self._holdings.found)
        self.log.info("{adopted} workers of an earlier anchor serve on", adopted=adopted)
        if not adopted:
            return None
        await self._proven(upgrades)
        return []

    def _inherit(self, inheritance: Inheritance, pool: WorkerPool, upgrades: Upgrades) -> None:
        pool.remember(inheritance.slots)
        upgrades.go_on_from(inheritance.last_number)
        self._swaps.restore(inheritance.swaps)
        self._host.rates.ring.restore(inheritance.rates)
        self._boot = evolve(self._boot, note="; ".join(filter(None, [inheritance.note, inheritance.failure])))

    def _adopt(self, pool: WorkerPool, found: Found) -> int:
        adopted = 0
        for met, end in found.workers:
            try:
                adopted += pool.adopt(met, end)
            except ProcessLookupError:
                end.close()
        return adopted

    def _meet_stragglers(self, pool: WorkerPool) -> None:
        """Workers of an earlier anchor that were not to be met before: they end when their requests have."""

        async def meet() -> None:
            self._orphans = [pid for pid in self._orphans if reap(pid) is None and Path(f"/proc/{pid}").exists()]
            found = await self._threads.run(meet_workers, self._state.run, pool.pids(), 0.5)
            for listener in found.listeners.values():
                listener.close()
            if not self._stopping:
                self._adopt(pool, found)

        def again(_: object) -> None:
            if not self._stopping:
                self._reactor.callLater(STRAGGLERS_S, self._meet_stragglers, pool)

        looking = Deferred.fromCoroutine(meet())
        looking.addErrback(lambda failure: self.log.failure("looking for stragglers", failure)).addBoth(again)

    async def _prove(self, pool: WorkerPool, upgrades: Upgrades) -> list[str]:
        """
        Prepare the host with the code that was chosen, or else with the committed code; then write down which it is.

        :return: credential files that were written
        :raises SwapFailed: neither can
        """
        boot = self._boot
        try:
            written = await pool.prepare_host(TRIAL_S if boot.fallback is not None else None)
        except SwapFailed as error:
            if boot.fallback is None or self._stopping:
                raise
            boot = self._boot = boot.fall_back(str(error))
            self.log.error("{note}", note=boot.note)
            pool.boot_instead(self._what_boots(boot))
            try:
                written = await pool.prepare_host()
            except SwapFailed as second:
                raise SwapFailed(f"{second}; so it was with the start tree before: {error}") from None
        await self._proven(upgrades)
        return written

    async def _proven(self, upgrades: Upgrades) -> None:
        boot = self._boot
        await upgrades.booted(boot)
        if boot.note:
            say(f"cloudd: {boot.note}")
            self._host.note_code(boot.committed.generation, boot.note)

    def _accept_control(self, controlled: Controlled) -> None:
        assert self._holdings.control is not None
        factory = self._control = ControlFactory(controlled, self._reactor)
        for session in self._inheritance.sessions if self._inheritance is not None else []:
            try:
                factory.resume(session.descriptor, session.snapshot)
            except Exception:
                self.log.failure("a connection of the control socket is lost")
        self._control_port = listen_unix(self._reactor, self._holdings.control, factory)
        assert self._pool is not None
        self._becoming = Becoming(
            reactor=self._reactor,
            pool=self._pool,
            control=factory,
            control_port=self._control_port,
            threads=self._threads,
            is_changing=lambda: self._upgrades.progress is not None,
            is_stopping=lambda: self._stopping,
            leave=self._leave,
            own_code=self._own_code,
            code_folder=self._state.code,
            environment=self._environment,
            note=self._host.note_anchor,
        )

    def _make_upgrades(self, boot: Boot, pool: WorkerPool) -> Upgrades:
        return Upgrades(
            settings=self._settings,
            start=self._start_tree,
            boot=boot,
            workers=pool,
            threads=self._threads,
            clock=self._reactor,
            now=self._reactor.seconds,
            audit=self._audit,
            metrics=self._swaps,
            interpreter=self._what_boots(boot).interpreter,
            start_hand_over=lambda decided, report: self._hand_over(pool, decided, report),
            handed_over=self._handed_over,
            own_code=source_root().name,
            front=self._tls,
            tell=lambda kind, data: pool.tell_one("note", kind=kind, data=data),
        )

    def _what_boots(self, boot: Boot) -> Decided:
        interpreter = boot.committed.interpreter or sys.executable
        return Decided(boot.committed.generation, boot.tree.hash, interpreter)

    def _hand_over(self, pool: WorkerPool, decided: Decided, report: Callable[[str, str, int, int], None]) -> HandOver:
        health, check = self._host.health, self._try_next
        return HandOver(self._reactor, pool, self._threads, self._state.run, decided, health, check, report)

    def _try_next(self, decided: Decided) -> str:
        """Why the anchor could not become that code; empty: it could.  Blocks."""
        return try_next(decided.interpreter, self._state.code / decided.tree_hash, self._environment)

    def _handed_over(self, _decided: Decided) -> None:
        """Other workers serve now: become an anchor of their code too."""
        assert self._becoming is not None
        self._becoming.soon()

    def _own_code(self) -> Path:
        """The copy of what this anchor runs: the start tree may hold other code by now."""
        if self._inheritance is not None:
            return source_root()
        copy = self._state.code / (self._boot.tried or self._boot.committed.started_from)
        return copy if copy.is_dir() else source_root()

    def _leave(self) -> Inheritance:
        """What the next self gets."""
        control, pool = self._control, self._pool
        assert control is not None and pool is not None
        return Inheritance(
            arguments=list(self._launch.arguments),
            pidfile=self._launch.pidfile,
            log_file=self._launch.log_file,
            began=self._began,
            start_tree=str(self._start_tree),
            **self._holdings.leave(),
            sessions=[Session(descriptor, snapshot) for descriptor, snapshot in control.sessions()],
            output=-1 if self._output is None else self._output,
            last_number=self._upgrades.last_number,
            children=pool.loader_pids(),
            slots=pool.past(),
            swaps=self._swaps.totals(),
            rates=self._host.rates.ring.samples(),
            note=self._host.code_note,
        )

    def _choose_tree(self) -> Boot:
        remove_unfinished(self._state.code)
        if self._inheritance is not None:
            return boot_committed(self._state.code)
        boot = choose_boot_tree(
            self._state.code, lambda: CodeTree.scan(source_root(), BOUNDARIES), self._reactor.seconds()
        )
        return boot.behind_workers() if self._holdings.found.workers else boot

    def _say_ready(self, written: list[str], marks: dict[str, float]) -> None:
        """``marks``: when each phase of the start had ended, in order."""
        starts = [self._began, *marks.values()]
        phases = [f"{name} {end - start:.2f} s" for (name, end), start in zip(marks.items(), starts, strict=False)]
        lines = ready_lines(self._holdings.urls, self._state, written, self._reactor.seconds() - self._began)
        say("\n".join(lines))
        self.log.info("ready: {urls}; {phases}", urls=", ".join(self._holdings.urls.values()), phases=", ".join(phases))
        notify_systemd(self._environment, "READY=1", f"STATUS=serving {', '.join(self._holdings.urls.values())}")

    def _failed(self, failure: Any) -> None:
        if self._stopping:
            return
        if failure.check(SwapFailed, TreeError, RecordError, PlaceError) is None:
            self.log.failure("cloudd cannot start", failure)
        found = len(self._holdings.found.workers)
        self._leaves_workers = found > 0  # nobody has asked to end them, and the next start may go well
        serving = f"; {found} workers of an earlier anchor serve on" if found else ""
        say(f"cloudd cannot start: {failure.getErrorMessage()}{serving}")
        # twistd knows no exit status of a service; it has removed its pidfile by then.
        atexit.register(os._exit, 1)
        self._reactor.stop()

    def _open_output(self) -> int | None:
        """In the background, where twistd has closed standard error, the other processes write to a file."""
        if self._inheritance is not None:
            return self._inheritance.output if self._inheritance.output >= 0 else None
        if not os.path.samestat(os.fstat(2), Path(os.devnull).stat()):
            return None
        return os.open(self._state.log / "cloudd.log", os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def _start_loader(
        self, decided: Decided, exited: Callable[[LoaderProcess, int, int], None], lost: Callable[[], None]
    ) -> LoaderProcess:
        # The loader loads what its workers boot once for all of them; a later swap's generation they load themselves.
        loader = LoaderProcess(
            self._reactor,
            self._state.code / decided.tree_hash,
            decided.interpreter,
            decided.generation,
            self._pool is not None and decided != self._pool.decided,  # for a hand-over
            isinstance(control_place(self._settings, self._state).where, str),
            self._output,
            lambda number, status: exited(loader, number, status),
            lost,
        )
        loader.start(self._environment)
        return loader

    def _make_spec(self, name: str, role: str, decided: Decided, incoming: bool) -> WorkerSpec:
        return WorkerSpec(
            name=name,
            role=role,
            generation=decided.generation,
            tree_hash=decided.tree_hash,
            settings=settings_to_plain(self._settings),
            urls=self._holdings.urls,
            faces=list(self._holdings.listeners) if role in {"front", "all"} else [],
            check=role == "prepare" and (incoming or self._boot.is_unproven),
            standby=incoming,
        )

    # while it runs

    async def _host_health(self) -> dict[str, Any]:
        return await self._host.health()

    async def _host_metrics(self) -> str:
        return (await self._host.metrics()).decode()

    def _reload(self) -> None:
        """SIGHUP: take the settings that can change while we run, and let the workers open their log files anew."""
        try:
            fresh = self._read_again()
        except SettingsError as error:
            self.log.error("the settings stay as they are: {cause}", cause=str(error))
            fresh = self._settings
        at_once, at_restart = changed_settings(self._settings, fresh)
        self._settings = apply_reloadable(self._settings, fresh)
        if at_once:
            self.log.info("settings taken: {keys}", keys=", ".join(at_once))
        if at_restart:
            self.log.warn("settings that need a restart: {keys}", keys=", ".join(at_restart))
        if self._pool is not None:
            self._tls.reload()
            self._pool.tell_all("reload", settings=settings_to_plain(self._settings))

    # the end

    async def _stop(self) -> None:
        if self._leaves_workers:
            self._holdings.close_listeners()
        else:
            await self._end_all()
        if self._control_port is not None:
            self._control_port.stopListening()
        self._threads.stop()
        self._holdings.release()

    async def _end_all(self) -> None:
        tls_ended = Deferred.fromCoroutine(self._tls.stop(self._settings.workers.stop_timeout_s))
        self._holdings.close_listeners()  # first of all
        if self._pool is not None:
            self._host.rates.stop()
            self._strangers.stop()
            await self._pool.stop(self._settings.workers.stop_timeout_s)
        else:
            await self._end_found()
        await tls_ended

    async def _end_found(self) -> None:
        """Workers of an earlier anchor, to be taken over in a moment: left alone they would wait for another anchor."""
        pids = [met.pid for met, _ in self._holdings.found.workers]
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)
        until = self._reactor.seconds() + self._settings.workers.stop_timeout_s + END_PATIENCE_S
        while pids and self._reactor.seconds() < until:
            pids = [pid for pid in pids if reap(pid) is None and Path(f"/proc/{pid}").exists()]
            await deferLater(self._reactor, END_LOOK_S)

    def _hasten(self) -> None:
        say("cloudd: asked again to end: requests in flight are cut")
        if self._pool is not None:
            self._pool.hasten()
            self._tls.hasten()


def source_root() -> Path:
    """The folder that holds the packages this process runs from."""
    assert cloudd.__file__ is not None
    return Path(cloudd.__file__).resolve().parent.parent


def _raise_descriptor_limit() -> None:
    _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
