# -*- test-case-name: tests.daemon.test_processes -*-
"""
All workers of the host: started, asked, swapped and stopped together.

A worker that starts boots what the host has decided for.  A swap reaches the workers that run; one that becomes ready
meanwhile, with code that has been replaced since its fork, is ended and started again.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Collection, Mapping
from typing import Any

from attrs import define, field, frozen
from twisted.internet.defer import Deferred, DeferredList
from twisted.logger import Logger

from cloudd.interfaces.settings import Settings
from reload import CodeTree

from ._link import Callee, LinkError, RemoteError
from ._loader_process import LoaderProcess
from ._slot import Slot
from ._spec import WorkerSpec

ASK_TIMEOUT_S = 2.0
SWAP_TIMEOUT_S = 55.0  # shorter than the upgrade's own patience, which could not name the worker
COMMIT_TIMEOUT_S = 10.0
KILL_DELAY_S = 3.0


class SwapFailed(Exception):
    """A worker could not load or take the new code; the text names it and the cause."""


class NobodyAsked(SwapFailed):
    """No worker was asked: this says nothing about the code."""


@frozen
class Decided:
    """The code that workers boot."""

    generation: int
    tree_hash: str


def planned_workers(settings: Settings) -> list[tuple[str, str]]:
    """Name and role of each worker that a host with these settings runs."""
    fronts = settings.workers.front or len(os.sched_getaffinity(0))
    if settings.workers.agent:
        return [(f"front-{number}", "front") for number in range(1, fronts + 1)] + [("agent", "agent")]
    return [("front-1", "all")] + [(f"front-{number}", "front") for number in range(2, fronts + 1)]


@define(eq=False)
class WorkerPool:
    """
    :param make_spec: the spec of a worker by name, role and what it boots
    :param listeners: descriptors by face
    :param start_loader: starts a loader for workers that boot this, which reports to the given functions
    """

    _reactor: Any
    _settings: Settings
    decided: Decided
    _make_spec: Callable[[str, str, Decided], WorkerSpec]
    _listeners: Mapping[str, int]
    _start_loader: Callable[[Decided, Callable[[LoaderProcess, int, int], None], Callable[[], None]], LoaderProcess]
    _callees: Mapping[str, Callee]
    slots: list[Slot] = field(factory=list)
    _loader: LoaderProcess | None = None
    _preparing: Slot | None = None
    _all_ready: Deferred[None] = field(factory=Deferred)
    _stopping: bool = False
    _pending: Decided | None = None
    _hashes: dict[str, set[str]] = field(factory=dict)  # worker -> trees it had generations of, last time we heard
    log = Logger()

    def boot_loader(self) -> None:
        """Start the loader; it boots while the caller goes on."""
        self._current_loader()

    async def prepare_host(self, limit_s: float | None = None) -> list[str]:
        """
        Run the ``prepare`` step in a process of its own.

        :param limit_s: kill it after so long
        :return: credential files that were written
        :raises SwapFailed: it failed; nothing else was started
        """
        self._check_not_stopping()
        slot = self._preparing = self._slot("prepare", "prepare", [])
        slot.start(restart=False)
        timer = self._reactor.callLater(limit_s, self._give_up, slot, limit_s) if limit_s is not None else None
        status = await slot.ended
        if timer is not None and timer.active():
            timer.cancel()
        self._preparing = None
        self._check_not_stopping()
        if status != 0:
            raise SwapFailed(f"the host cannot be prepared: {slot.cause}")
        return slot.written

    def boot_instead(self, decided: Decided) -> None:
        """Boot other code than what ``prepare_host`` has just failed with, from a loader of its own."""
        self.decided = decided
        if self._loader is not None:
            self._loader.kill()
            self._loader = None

    async def start(self) -> None:
        """Start all workers; fires when each has been ready once."""
        for name, role in planned_workers(self._settings):
            self.slots.append(self._slot(name, role, list(self._listeners.values())))
        for slot in self.slots:
            slot.start()
        await self._all_ready

    async def ask_all(self, call: str, timeout_s: float = ASK_TIMEOUT_S, **body: Any) -> dict[str, Any]:
        """
        Call every ready worker at the same time.

        :return: name -> answer, or the ``LinkError`` why there is none
        """
        ready = [slot for slot in self.slots if slot.is_ready]
        answers = await _gather([_ask(slot, call, timeout_s, body) for slot in ready])
        return dict(zip((slot.name for slot in ready), answers, strict=True))

    def tell_all(self, call: str, **body: Any) -> None:
        """Cast to every ready worker."""
        for slot in self.slots:
            if slot.is_ready and slot.link is not None:
                slot.link.cast(call, **body)

    async def prepare(self, generation: int, tree: CodeTree) -> None:
        """
        Load a staged tree in every ready worker; requests stay where they are.

        :raises SwapFailed: a worker could not, or the daemon is stopping
        """
        self._check_not_stopping()
        asked = [slot.name for slot in self.slots if slot.is_ready]
        if not asked:
            raise NobodyAsked("no worker is ready: see `cloudctl health`")
        answers = await self.ask_all("prepare", SWAP_TIMEOUT_S, number=generation, tree_hash=tree.hash)
        for name, answer in answers.items():
            if isinstance(answer, LinkError):
                cause = answer.cause if isinstance(answer, RemoteError) else str(answer)
                raise SwapFailed(f"worker {name}: {cause}")
        self._pending = Decided(generation, tree.hash)

    async def commit(self, generation: int) -> list[str]:
        """
        From now on new requests, and workers that start, use the prepared generation.

        :return: workers that did not confirm; they are ended and started again with the new code
        """
        pending = self._pending
        assert pending is not None and pending.generation == generation, "commit without prepare"
        self.decided, self._pending = pending, None
        answers = await self.ask_all("commit", COMMIT_TIMEOUT_S, number=generation)
        silent = [name for name, answer in answers.items() if isinstance(answer, LinkError)]
        for slot in self.slots:
            if slot.name in silent:
                self.log.error(
                    "{worker} did not take the new code: {cause}", worker=slot.name, cause=answers[slot.name]
                )
                slot.signal(signal.SIGTERM)
            elif slot.name in answers:
                slot.generation = generation
                self._hashes[slot.name] = set(answers[slot.name])
        return silent

    async def abort(self, generation: int) -> None:
        """Drop a prepared generation everywhere."""
        self._pending = None
        await self.ask_all("abort", COMMIT_TIMEOUT_S, number=generation)

    def hashes_in_use(self) -> Collection[str]:
        """Hashes of trees from which a worker may still have a generation."""
        return {self.decided.tree_hash}.union(*self._hashes.values())

    async def stop(self, timeout_s: float) -> None:
        """End all workers: requests in flight have ``timeout_s``, then they are killed."""
        self._stopping = True
        slots = [*self.slots, *([self._preparing] if self._preparing else [])]
        for slot in slots:
            slot.stop(timeout_s)
        running = [slot for slot in slots if slot.runs]
        killer = self._reactor.callLater(timeout_s + KILL_DELAY_S, self._kill, running)
        if running:
            await DeferredList([_quiet(slot.ended) for slot in running])
        if killer.active():
            killer.cancel()
        if self._loader is not None:
            await self._loader.end()

    def hasten(self) -> None:
        """Second signal: end now."""
        running = [slot for slot in self.slots if slot.runs]
        for slot in running:
            slot.stop(0)
        self._reactor.callLater(KILL_DELAY_S, self._kill, running)

    def _give_up(self, slot: Slot, limit_s: float) -> None:
        slot.kill(f"it did not end within {limit_s:g} s")
        if not slot.pid and self._loader is not None:
            self._loader.kill()  # it hangs before it forks

    def _check_not_stopping(self) -> None:
        if self._stopping:
            raise NobodyAsked("the daemon is stopping")

    def _kill(self, slots: list[Slot]) -> None:
        for slot in slots:
            if slot.runs:
                self.log.error("killing worker {worker}: it does not end", worker=slot.name)
                slot.signal(signal.SIGKILL)

    def _slot(self, name: str, role: str, listeners: list[int]) -> Slot:
        return Slot(
            name=name,
            role=role,
            reactor=self._reactor,
            make_spec=lambda: self._make_spec(name, role, self.decided),
            listeners=listeners if role in {"front", "all"} else [],
            loader=self._current_loader,
            callees=self._callees,
            became_ready=self._became_ready,
        )

    def _current_loader(self) -> LoaderProcess:
        if self._loader is None or self._loader.is_lost:
            self._loader = self._start_loader(self.decided, self._exited, self._loader_lost)
        return self._loader

    def _exited(self, loader: LoaderProcess, number: int, status: int) -> None:
        slots = [*self.slots, *([self._preparing] if self._preparing else [])]
        any(slot.process_ended(loader, number, status) for slot in slots)

    def _loader_lost(self) -> None:
        if not self._stopping:
            self.log.error("the loader has ended; the next start of a worker starts a new one")

    def _became_ready(self, slot: Slot, generation: int) -> None:
        if generation != self.decided.generation:
            self.log.info("{worker} booted code that was replaced meanwhile; again", worker=slot.name)
            slot.signal(signal.SIGTERM)
            return
        self.log.info("worker {worker} is ready", worker=slot.name, pid=slot.pid)
        if not self._all_ready.called and all(each.is_ready for each in self.slots):
            self._all_ready.callback(None)


async def _ask(slot: Slot, call: str, timeout_s: float, body: dict[str, Any]) -> Any:
    assert slot.link is not None
    try:
        return await slot.link.call(call, timeout_s=timeout_s, **body)
    except LinkError as error:
        return error


async def _gather(coroutines: list[Any]) -> list[Any]:
    results = await DeferredList([Deferred.fromCoroutine(each) for each in coroutines], fireOnOneErrback=True)
    return [answer for _success, answer in results]


def _quiet(deferred: Deferred[int]) -> Deferred[None]:
    """Fires with it, and leaves its result to the others who wait."""
    done: Deferred[None] = Deferred()

    def passed(result: int) -> int:
        done.callback(None)
        return result

    deferred.addBoth(passed)
    return done
