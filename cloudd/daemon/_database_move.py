# -*- test-case-name: tests.daemon.test_database_moves -*-
"""
``cloudctl database``: what it shows, and the move of the records to a server while the cloud runs, seen by the anchor.

The anchor has a process do it (``_database_mover``), and tells who asked.  It decides nothing: the mark in the SQLite
file does, which that process commits and which each worker finds by itself.  A file in the state folder says that a
move is under way; an anchor that finds it at its start has it tidied up.

No upgrade begins meanwhile, nor a move during an upgrade: new code could change the tables.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec
from twisted.internet.defer import Deferred
from twisted.internet.error import ProcessExitedAlready
from twisted.internet.protocol import ProcessProtocol
from twisted.logger import Logger
from zope.interface import implementer

from cloudd.control import (
    Actor,
    AuditEntry,
    DatabaseStatus,
    IDatabaseMoves,
    Listener,
    Outcome,
    Progress,
    Result,
    own_actor,
)
from cloudd.interfaces.application import OperationRefused
from cloudd.interfaces.database import BadDatabaseURL, check_url

from ._audit import AuditLog
from ._database_order import Order, Said
from ._link import LinkError, RemoteError
from ._loader_process import NOT_INHERITED
from ._state_folder import StateFolder
from ._workers import NobodyAsked, WorkerPool

UNDER_WAY = "database-move"
READY_S = 20.0
FACTS_S = 20.0
FOLLOW_S = 20.0
PAUSE_LIMIT_S = 11.0  # writers have patience for 15 s


@implementer(IDatabaseMoves)
class DatabaseMoves:
    """
    :param upgrades: its ``progress`` says that a change is under way; of a move, too
    :param environment: for the process that moves the records
    :param output: descriptor for its standard error; None: that of the anchor
    """

    log = Logger()

    def __init__(
        self,
        reactor: Any,
        state: StateFolder,
        pool: WorkerPool,
        upgrades: Any,
        audit: AuditLog,
        environment: Mapping[str, str],
        output: int | None,
    ) -> None:
        self._reactor = reactor
        self._state = state
        self._pool = pool
        self._upgrades = upgrades
        self._audit = audit
        self._environment = environment
        self._errors = 2 if output is None else output
        self._began = 0.0
        self._has_settled = False  # what an earlier anchor has left

    def status(self) -> Deferred[DatabaseStatus]:
        """
        Which database it is, asked through a worker.

        :raises OperationRefused: no worker answers
        """
        return Deferred.fromCoroutine(self._status())

    def move(self, url: str, password_file: str, check: bool, actor: Actor, listener: Listener) -> Deferred[Outcome]:
        """
        Move the records to a server.

        :param url: without a password
        :param password_file: absolute path; empty: none
        :param check: only look whether it can be done
        :return: how it ended; what is against it is an outcome, not raised.  Nobody who hangs up ends it
        """
        done: Deferred[Outcome] = Deferred()
        Deferred.fromCoroutine(self._move(url, password_file, check, actor, listener)).chainDeferred(done)
        return done

    async def settle(self) -> None:
        """At the anchor's start: tidy up after a move that an earlier anchor had begun; from then on others may be."""
        note = self._state.path / UNDER_WAY
        if note.exists():
            actor = own_actor()
            try:
                actor = msgspec.json.decode(note.read_bytes(), type=Actor)
            except (OSError, msgspec.DecodeError):
                self.log.warn("who had begun a move of the database cannot be read")
            said = await self._have("settle", "", "", _nobody)
            await self._end(actor, _outcome(said, "the daemon had ended before the move did"))
            note.unlink(missing_ok=True)
        self._has_settled = True

    async def _status(self) -> DatabaseStatus:
        try:
            facts = await self._pool.ask_agent("database_facts", FACTS_S)
        except (LinkError, NobodyAsked) as error:
            cause = error.cause if isinstance(error, RemoteError) else str(error)
            raise OperationRefused(f"the database cannot be asked: {cause}") from None
        places = await self._pool.ask_all("database_place")
        told = {name: str(answer) or facts["kind"] for name, answer in places.items()}
        return msgspec.convert({**facts, "workers": told}, DatabaseStatus)

    async def _move(self, url: str, password_file: str, check: bool, actor: Actor, listener: Listener) -> Outcome:
        progress = self._upgrades.progress
        if progress is not None or not self._has_settled:
            cause = "the daemon is starting"
            if progress is not None:
                cause = f"another change is under way: {progress.step}: {progress.text}"
            return Outcome(action="migrate", result="busy", cause=cause)
        self._began = self._reactor.seconds()
        report = self._reporter(listener)
        report("check", "every worker is asked", 0, 0)
        note = self._state.path / UNDER_WAY
        try:
            against = await self._against(url, password_file)
            if against:
                outcome = Outcome(action="migrate", result="refused", cause=against)
            else:
                if not check:
                    note.write_bytes(msgspec.json.encode(actor))
                outcome = await self._carry_out(url, password_file, check, report)
        except Exception as error:
            self.log.failure("a move of the database failed for a reason that was not foreseen")
            outcome = Outcome(action="migrate", result="failed", cause=str(error))
        finally:
            self._upgrades.progress = None
            note.unlink(missing_ok=True)
        outcome = msgspec.structs.replace(outcome, duration_s=round(self._reactor.seconds() - self._began, 3))
        return outcome if check else await self._end(actor, outcome)

    async def _against(self, url: str, password_file: str) -> str:
        """Why it cannot be done, as far as this host knows; empty: nothing."""
        try:
            check_url(url)
        except BadDatabaseURL as error:
            return f"the URL cannot be used: {error}"
        if password_file and not Path(password_file).is_absolute():
            return f"{password_file} is no absolute path"
        missing = [slot.name for slot in self._pool.slots if not slot.is_ready]
        if missing:
            return f"{', '.join(missing)} is not ready: see `cloudctl health`"
        if self._pool.leaving:
            return "workers of an earlier hand-over still have connections: see `cloudctl status`, and try it later"
        return await self._asked_workers(url, password_file)

    async def _asked_workers(self, url: str, password_file: str) -> str:
        """The same, as far as workers know."""
        for name, place in (await self._pool.ask_all("database_place")).items():
            if isinstance(place, LinkError):
                return f"worker {name} does not say where its database is: {place}"
            if place:
                return f"the records are on {place} already: only a SQLite file is moved"
        body = {"url": url, "password_file": password_file}
        for name, cause in (await self._pool.ask_all("database_ready", READY_S, **body)).items():
            if cause:
                return f"worker {name}: {cause}"
        return ""

    async def _carry_out(
        self, url: str, password_file: str, check: bool, report: Callable[[str, str, int, int], None]
    ) -> Outcome:
        what = "check" if check else "move"
        said = await self._have(
            what, url, password_file, lambda said: report(said.step, said.text, said.done, said.total)
        )
        if check and said is not None and not said.refused:
            cause = f"nothing is against it: the server is PostgreSQL {said.version}"
            return Outcome(action="migrate", result="unchanged", cause=cause, warnings=said.warnings)
        if said is None and not check:
            said = await self._have("settle", "", "", _nobody)
        if said is None or not said.server:
            return _outcome(said, "the process that moved the records ended before it had: see the daemon's log")
        report("follow", f"all workers go on at {said.server}", 0, 0)
        await self._pool.ask_all("database_follow", FOLLOW_S)
        return _outcome(said, "")

    async def _end(self, actor: Actor, outcome: Outcome) -> Outcome:
        """Write it down."""
        self.log.info("migrate: {result} {cause}", result=outcome.result, cause=outcome.cause, user=actor.user)
        try:
            await self._audit.append(
                AuditEntry(
                    time=self._reactor.seconds(),
                    who=actor,
                    action="migrate",
                    result=outcome.result,
                    old_hash=self._pool.decided.tree_hash,
                    new_hash=self._pool.decided.tree_hash,
                    generation=self._pool.decided.generation,
                    cause="; ".join([outcome.cause, *outcome.warnings]),
                    duration_s=outcome.duration_s,
                )
            )
        except OSError:
            self.log.failure("the audit log cannot be written")
        return outcome

    def _reporter(self, listener: Listener) -> Callable[[str, str, int, int], None]:
        def report(step: str, text: str, done: int, total: int) -> None:
            elapsed_s = round(self._reactor.seconds() - self._began, 3)
            progress = Progress(step=step, text=text, done=done, total=total, elapsed_s=elapsed_s)
            self._upgrades.progress = progress
            try:
                listener(progress)
            except Exception:
                self.log.failure("a listener of the move's progress failed")

        return report

    def _have(self, what: Any, url: str, password_file: str, told: Callable[[Said], None]) -> Deferred[Said | None]:
        """Have a process carry out an order; fires with its last words, ``None``: it had none."""
        decided = self._pool.decided
        environment = {key: value for key, value in self._environment.items() if key not in NOT_INHERITED}
        environment["PYTHONPATH"] = str(self._state.code / decided.tree_hash)
        order = Order(what=what, state=str(self._state.path), url=url, password_file=password_file)
        mover = _Mover(self._reactor, msgspec.json.encode(order) + b"\n", told)
        words = [decided.interpreter, "-P", "-m", "cloudd.daemon._database_mover"]
        self._reactor.spawnProcess(
            mover, decided.interpreter, words, env=environment, childFDs={0: "w", 1: "r", 2: self._errors}
        )
        return mover.ended


def _outcome(said: Said | None, instead: str) -> Outcome:
    """
    What comes of the mover's last words.

    :param instead: the cause where it had none
    """
    if said is None:
        return Outcome(action="migrate", result="failed", cause=instead)
    if not said.server:
        result: Result = "refused" if said.refused else "failed"
        return Outcome(action="migrate", result=result, cause=said.cause or instead, warnings=said.warnings)
    note = f"the records are on {said.server}; write [database] url and password_file into the settings"
    return Outcome(
        action="migrate",
        result="committed",
        cause=note,
        warnings=said.warnings,
        rows=said.rows,
        pause_s=said.pause_s,
    )


def _nobody(_said: Said) -> None:
    """Hears nothing of a process that only tidies up."""


class _Mover(ProcessProtocol):
    """The process at work; one that hangs while writes wait for it is killed."""

    def __init__(self, clock: Any, order: bytes, told: Callable[[Said], None]) -> None:
        self.ended: Deferred[Said | None] = Deferred()
        self._clock = clock
        self._order = order
        self._told = told
        self._received = b""
        self._last: Said | None = None
        self._killer: Any = None

    def connectionMade(self) -> None:
        assert self.transport is not None
        self.transport.write(self._order)

    def outReceived(self, data: bytes) -> None:
        *lines, self._received = (self._received + data).split(b"\n")
        for line in lines:
            said = msgspec.json.decode(line, type=Said)
            if said.step == "pause":
                self._killer = self._clock.callLater(PAUSE_LIMIT_S, self._kill)
            if said.step:
                self._told(said)
            else:
                self._last = said

    def _kill(self) -> None:
        assert self.transport is not None
        with contextlib.suppress(ProcessExitedAlready):
            self.transport.signalProcess("KILL")

    def processEnded(self, reason: Any) -> None:
        if self._killer is not None and self._killer.active():
            self._killer.cancel()
        self.ended.callback(self._last)
