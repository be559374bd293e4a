# -*- test-case-name: tests.daemon.test_processes -*-
"""
All workers of the host: started, asked, swapped and stopped together.

A worker that starts boots what the host has decided for.  A swap reaches the workers that run; one that becomes ready
meanwhile, with code that has been replaced since its fork, is ended and started again.

There are up to three crews: ``slots`` serve; ``incoming`` boot beside them in a hand-over, from a loader of their own;
``leaving`` have given their connections away and end when the last ones that could not move have ended.
"""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Callable, Collection, Mapping
from typing import Any

from attrs import define, field, frozen
from twisted.internet.defer import Deferred, DeferredList
from twisted.logger import Logger

from cloudd.interfaces.settings import Settings
from reload import CodeTree

from ._asking import ask_each, link_of_one, load_in_turns
from ._inheritance import SlotPast
from ._leaving import Leaving, kill_all, quiet
from ._link import Callee, LinkError, LinkTimeout
from ._loader_process import LoaderProcess
from ._rendezvous import Met
from ._slot import Slot
from ._spec import WorkerSpec
from ._state_folder import StateFolder

ASK_TIMEOUT_S = 2.0
SURVEY_TIMEOUT_S = 5.0
CHECK_S = 50.0
SWAP_TIMEOUT_S = 55.0  # shorter than the upgrade's own patience, which could not name the worker
COMMIT_TIMEOUT_S = 10.0


class SwapFailed(Exception):
    """A worker could not load or take the new code; the text names it and the cause.  ``blames``: the code, for it."""

    blames = True


class NobodyAsked(SwapFailed):
    """No worker was asked: this says nothing about the code."""

    blames = False


class OldWorkerFailed(SwapFailed):
    """A worker of the old code ended or does not answer: this says nothing about the new code either."""

    blames = False


@frozen
class Decided:
    """The code that workers boot, and the Python that runs it (a path)."""

    generation: int
    tree_hash: str
    interpreter: str


def planned_workers(settings: Settings) -> list[tuple[str, str]]:
    """Name and role of each worker that a host with these settings runs."""
    fronts = settings.workers.front or len(os.sched_getaffinity(0))
    if settings.workers.agent:
        return [(f"front-{number}", "front") for number in range(1, fronts + 1)] + [("agent", "agent")]
    return [("front-1", "all")] + [(f"front-{number}", "front") for number in range(2, fronts + 1)]


@define(eq=False)
class _Crew:
    """Workers of one code, and the loader that forks them."""

    slots: list[Slot]
    loader: LoaderProcess | None
    decided: Decided


@define(eq=False)
class WorkerPool:
    """
    :param make_spec: the spec of a worker by name, role, what it boots, and whether that is a hand-over's
    :param listeners: descriptors by face
    :param start_loader: starts a loader for workers that boot this, which reports to the given functions
    """

    _reactor: Any
    _settings: Settings
    decided: Decided
    _make_spec: Callable[[str, str, Decided, bool], WorkerSpec]
    _listeners: Mapping[str, int]
    _start_loader: Callable[[Decided, Callable[[LoaderProcess, int, int], None], Callable[[], None]], LoaderProcess]
    _callees: Mapping[str, Callee]
    slots: list[Slot] = field(factory=list)
    incoming: list[Slot] = field(factory=list)
    _incoming_decided: Decided | None = None
    _incoming_loader: LoaderProcess | None = None
    _past: Mapping[str, SlotPast] = field(factory=dict)
    _former: _Crew | None = None  # in the supervision window: who served before
    _loader: LoaderProcess | None = None
    _preparing: Slot | None = None
    _checking: list[Slot] = field(factory=list)
    _ends: Leaving = field(init=False)
    _all_ready: Deferred[None] = field(factory=Deferred)
    _stopping: bool = False
    _pending: Decided | None = None
    _prepared: dict[str, int] = field(factory=dict)  # worker -> process that has what is pending
    _trees: dict[int, set[str]] = field(factory=dict)  # process -> trees it had generations of, last time we heard
    log = Logger()

    def __attrs_post_init__(self) -> None:
        self._ends = Leaving(self._reactor, self.stop_timeout_s, self._settings.upgrade.longest_wait_s)

    @property
    def leaving(self) -> list[Slot]:
        """Workers that end by themselves."""
        return self._ends.slots

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
        timer = self._reactor.callLater(limit_s, _give_up, slot, limit_s) if limit_s is not None else None
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
        planned = planned_workers(self._settings)
        adopted = {slot.name: slot for slot in self.slots}
        listeners = list(self._listeners.values())
        self.slots = [
            adopted.pop(name) if name in adopted else self._slot(name, role, listeners) for name, role in planned
        ]
        for slot in adopted.values():  # the settings have fewer workers now
            self._let_leave(_Crew([slot], None, self.decided))
            self.end(slot, self.stop_timeout_s)
        for slot in self.slots:
            if not slot.runs:
                slot.start()
        if not all(slot.is_ready for slot in self.slots):
            await self._all_ready

    def adopt(self, met: Met, end: socket.socket) -> bool:
        """
        A worker that an earlier anchor had forked goes on as ours; ``start`` fills the places that stay empty.

        :return: whether it serves on; one that has other code than what was decided for, or whose place is taken, ends
            when its requests have
        """
        welcome = met.welcome
        slot = self._slot(welcome.name, welcome.role, list(self._listeners.values()))
        past = self._past.get(welcome.name, SlotPast())
        slot.restarts, slot.failures = past.restarts, past.failures
        slot.adopt(met, end)
        free = welcome.name not in {slot.name for slot in self.slots}
        if free and welcome.generation == self.decided.generation and welcome.state == "serving":
            self.slots.append(slot)
            return True
        self._let_leave(_Crew([slot], None, Decided(welcome.generation, welcome.tree_hash, self.decided.interpreter)))
        if welcome.state != "leaving":
            self.end(slot, self.stop_timeout_s)
        return False

    def remember(self, past: Mapping[str, SlotPast]) -> None:
        """Count on from there."""
        self._past = past

    def loader_pids(self) -> list[int]:
        """Process ids of the loaders, which end with the anchor's channel."""
        loaders = [*self._ends.loaders, *([self._loader] if self._loader is not None else [])]
        return [loader.pid for loader in loaders if not loader.is_lost]

    def past(self) -> dict[str, SlotPast]:
        """What is counted of each place, for the anchor's next self."""
        return {slot.name: SlotPast(slot.restarts, slot.failures) for slot in self.slots}

    def pids(self) -> set[int]:
        """Process ids of all workers that run."""
        return {slot.pid for slot in self._everyone() if slot.pid}

    async def ask_all(self, call: str, timeout_s: float = ASK_TIMEOUT_S, **body: Any) -> dict[str, Any]:
        """
        Call every ready worker at the same time.

        :return: name -> answer, or the ``LinkError`` why there is none
        """
        return {slot.name: answer for slot, answer in await ask_each(self.slots, call, timeout_s, body)}

    async def ask_leaving(self, call: str) -> list[tuple[Slot, Any]]:
        """The same of workers that have given their connections away, or may have to take them back."""
        former = self._former.slots if self._former is not None else []
        return await ask_each([*former, *self.leaving], call, ASK_TIMEOUT_S, {})

    async def ask_agent(self, call: str, /, timeout_s: float, **body: Any) -> Any:
        """
        Call one ready worker: the one that does the host's own work, or, while it is not ready, another.

        :raises NobodyAsked: no worker is ready
        :raises LinkError: there is no answer
        """
        link = link_of_one(self.slots, {"agent", "all"})
        if link is None:
            raise NobodyAsked("no worker is ready: see `cloudctl health`")
        return await link.call(call, timeout_s=timeout_s, **body)

    def tell_all(self, call: str, **body: Any) -> None:
        """Cast to every ready worker."""
        for slot in self.slots:
            if slot.is_ready and slot.link is not None:
                slot.link.cast(call, **body)

    def tell_one(self, call: str, **body: Any) -> None:
        """Cast to one ready worker, if there is any; to a front worker where there is one."""
        link = link_of_one(self.slots, {"front", "all"})
        if link is not None:
            link.cast(call, **body)

    async def survey(self) -> dict[str, int]:
        """Why connections could not move to other processes at this moment -> how many, as far as workers answer."""
        found: dict[str, int] = {}
        for answer in (await self.ask_all("survey", SURVEY_TIMEOUT_S)).values():
            for reason, count in answer.items() if isinstance(answer, dict) else ():
                found[reason] = found.get(reason, 0) + count
        return found

    async def check_apart(self, generation: int, tree: CodeTree) -> None:
        """
        Load a staged tree in a process of its own, and let it check itself: what ends or hangs there harms nobody.

        :raises SwapFailed: it could not, ended, or did not get ready in time
        """
        self._check_not_stopping()
        slot = self._slot("check", "check", [], Decided(generation, tree.hash, self.decided.interpreter))
        self._checking.append(slot)
        slot.start(restart=False)
        timer = self._reactor.callLater(CHECK_S, _give_up, slot, CHECK_S)
        try:
            status = await slot.ended
        finally:
            if timer.active():
                timer.cancel()
            kill_all([slot])
            self._checking.remove(slot)
        self._check_not_stopping()
        if status != 0:
            raise SwapFailed(f"tried in a process of its own, it {slot.cause}")

    async def prepare(self, generation: int, tree: CodeTree) -> None:
        """
        Load a staged tree in every ready worker; requests stay where they are.

        :raises SwapFailed: a worker could not, or the daemon is stopping
        """
        self._check_not_stopping()
        if not any(slot.is_ready for slot in self.slots):
            raise NobodyAsked("no worker is ready: see `cloudctl health`")
        self._prepared.clear()
        await self._prepare_in(self.slots, generation, tree)
        self._pending = Decided(generation, tree.hash, self.decided.interpreter)

    async def prepare_late(self, generation: int, tree: CodeTree) -> None:
        """
        The same in those workers that were started since, so that a commit does not have to end them.

        :raises SwapFailed: a worker could not, or the daemon is stopping
        """
        self._check_not_stopping()
        late = [slot for slot in self.slots if self._prepared.get(slot.name) != slot.pid]
        await self._prepare_in(late, generation, tree)

    async def _prepare_in(self, slots: Collection[Slot], generation: int, tree: CodeTree) -> None:
        body = {"number": generation, "tree_hash": tree.hash}
        loaded, failure = await load_in_turns(slots, body, SWAP_TIMEOUT_S, self._reactor)
        self._prepared.update(loaded)
        if failure:
            raise SwapFailed(failure)

    async def commit(self, generation: int) -> list[str]:
        """
        From now on new requests, and workers that start, use the prepared generation.

        :return: workers that did not confirm; they are ended, if they hang by SIGKILL, and others with the new code
            take their places
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
                self._ends.kill_later(slot, self.stop_timeout_s)
            elif slot.name in answers:
                slot.generation = generation
                self._trees[slot.pid] = set(answers[slot.name])
        return silent

    async def abort(self, generation: int) -> None:
        """
        Drop a prepared generation everywhere.

        A worker that does not say that it did is ended: it may answer with that code.
        """
        self._pending = None
        answers = await self.ask_all("abort", COMMIT_TIMEOUT_S, number=generation)
        for slot in self.slots:
            if isinstance(answers.get(slot.name), LinkTimeout) and slot.runs:
                slot.kill(f"it did not drop generation {generation} within {COMMIT_TIMEOUT_S:g} s")

    @property
    def is_stopping(self) -> bool:
        """Whether the workers are being ended with the daemon."""
        return self._stopping

    async def highest_generation(self) -> int:
        """The highest number of a generation that a worker that answers has ever had."""
        answers = (await self.ask_all("status")).values()
        return max((answer["highest"] for answer in answers if not isinstance(answer, LinkError)), default=0)

    async def trees_in_use(self) -> Collection[str]:
        """Hashes of the trees of which a worker may have a generation, also one that ends; or somebody starts one."""
        former = self._former.slots if self._former is not None else []
        slots = [slot for slot in (*self.slots, *former, *self.leaving) if slot.runs]
        for slot, answer in await ask_each(slots, "trees", ASK_TIMEOUT_S, {}):
            if not isinstance(answer, LinkError):
                self._trees[slot.pid] = set(answer)
        running = {slot.pid for slot in slots}
        self._trees = {pid: trees for pid, trees in self._trees.items() if pid in running}
        decided = {self.decided.tree_hash, *([self._former.decided.tree_hash] if self._former is not None else [])}
        return decided.union(self._ends.hashes.values(), *self._trees.values())

    # ---- hand-overs: see ``_incoming``

    @property
    def stop_timeout_s(self) -> float:
        """How long requests in flight have when a worker is told to end."""
        return self._settings.workers.stop_timeout_s

    async def prepare_incoming(self, decided: Decided, limit_s: float) -> None:
        """
        Start a loader of other code, and let it prepare the host beside the workers that serve.

        :raises SwapFailed: it failed, or did not end in time; ``drop_incoming`` removes what is left of it
        """
        self._check_not_stopping()
        self._incoming_decided = decided
        self._incoming_loader = self._start_loader(decided, self._exited, lambda: None)
        slot = self._slot("prepare", "prepare", [])
        self.incoming = [slot]
        slot.start(restart=False)
        timer = self._reactor.callLater(limit_s, _give_up, slot, limit_s)
        status = await slot.ended
        if timer.active():
            timer.cancel()
        self.incoming = []
        self._check_not_stopping()
        if status != 0:
            raise SwapFailed(f"the new code cannot prepare the host: it {slot.cause}")

    def fork_incoming(self) -> list[Slot]:
        """Start the new workers, which wait; none is started again when it ends."""
        self._check_not_stopping()
        listeners = list(self._listeners.values())
        self.incoming = [self._slot(name, role, listeners) for name, role in planned_workers(self._settings)]
        for slot in self.incoming:
            slot.start(restart=False)
        return list(self.incoming)

    async def drop_incoming(self) -> None:
        """End what a hand-over has started; fires when it has gone."""
        slots = self.incoming
        for slot in slots:
            slot.keep_running(restart=False)
        kill_all(slots)
        await DeferredList([quiet(slot.ended) for slot in slots if slot.runs])
        self.incoming = []
        loader, self._incoming_loader, self._incoming_decided = self._incoming_loader, None, None
        if loader is not None and not loader.is_lost:
            await loader.end()

    def promote(self, decided: Decided) -> list[Slot]:
        """
        The host has decided: the incoming workers are the host's.

        :return: the old ones, which are not started again when they end
        """
        self._former = _Crew(self.slots, self._loader, self.decided)
        self.slots, self.incoming = self.incoming, []
        self._loader, self._incoming_loader = self._incoming_loader, None
        self.decided, self._incoming_decided = decided, None
        for slot in self._former.slots:
            slot.keep_running(restart=False)
        for slot in self.slots:
            slot.keep_running(restart=not self._stopping)  # nobody comes back while all end
        return self._former.slots

    def demote(self) -> list[Slot]:
        """
        The host has decided again: the workers from before ``promote`` are the host's.

        :return: the others, which end when they have given everything back
        """
        former, given_up = self._former, _Crew(self.slots, self._loader, self.decided)
        assert former is not None, "demote comes after promote"
        self._former = None
        self.slots, self._loader, self.decided = former.slots, former.loader, former.decided
        for slot in given_up.slots:
            slot.keep_running(restart=False)
        for slot in self.slots:
            slot.keep_running(restart=not self._stopping)  # nobody comes back while all end
        self._let_leave(given_up)
        return given_up.slots

    def settle(self) -> None:
        """Nothing goes back any more: the former workers end by themselves, at last after the longest wait."""
        former, self._former = self._former, None
        if former is not None:
            self._let_leave(former)

    def end(self, slot: Slot, timeout_s: float) -> None:
        """Ask one process to end within ``timeout_s``; one that hangs is killed."""
        self._ends.end(slot, timeout_s)

    def _let_leave(self, crew: _Crew) -> None:
        self._ends.let_leave(crew.slots, crew.loader, crew.decided.tree_hash)

    # ---- the end

    async def stop(self, timeout_s: float) -> None:
        """End all workers: requests in flight have ``timeout_s``, then they are killed."""
        self._stopping = True
        slots = self._everyone()
        for slot in slots:
            slot.stop(timeout_s)
        running = [slot for slot in slots if slot.runs]
        await self._ends.ended(running, timeout_s)
        former = self._former.loader if self._former is not None else None
        for loader in (self._loader, self._incoming_loader, former, *self._ends.loaders):
            if loader is not None and not loader.is_lost:
                await loader.end()

    def hasten(self) -> None:
        """Second signal: end now."""
        running = [slot for slot in self._everyone() if slot.runs]
        for slot in running:
            slot.stop(0)
        self._ends.kill_all_later(running, 0)

    def _check_not_stopping(self) -> None:
        if self._stopping:
            raise NobodyAsked("the daemon is stopping")

    def _everyone(self) -> list[Slot]:
        former = self._former.slots if self._former is not None else []
        preparing = [self._preparing] if self._preparing is not None else []
        return [*self.slots, *preparing, *self._checking, *self.incoming, *former, *self.leaving]

    def _slot(self, name: str, role: str, listeners: list[int], instead: Decided | None = None) -> Slot:
        """``instead``: what it boots, where that is not what the host has decided for."""

        def is_incoming() -> bool:
            return any(each is slot for each in self.incoming)

        def make_spec() -> WorkerSpec:
            incoming = is_incoming()
            decided = instead or (self._incoming_decided if incoming else self.decided)
            assert decided is not None
            return self._make_spec(name, role, decided, incoming)

        def loader() -> LoaderProcess:
            incoming = self._incoming_loader
            return incoming if incoming is not None and is_incoming() else self._current_loader()

        slot = Slot(
            name=name,
            role=role,
            reactor=self._reactor,
            make_spec=make_spec,
            listeners=listeners if role in {"front", "all"} else [],
            loader=loader,
            callees=self._callees,
            run=StateFolder(self._settings.state).run,
            became_ready=self._became_ready,
        )
        return slot

    def _current_loader(self) -> LoaderProcess:
        if self._loader is None or self._loader.is_lost:
            self._loader = self._start_loader(self.decided, self._exited, self._loader_lost)
        return self._loader

    def _exited(self, loader: LoaderProcess, number: int, status: int) -> None:
        slots = self._everyone()
        any(slot.process_ended(loader, number, status) for slot in slots)

    def _loader_lost(self) -> None:
        if not self._stopping:
            self.log.error("the loader has ended; the next start of a worker starts a new one")

    def _became_ready(self, slot: Slot, generation: int) -> None:
        if any(each is slot for each in self.incoming):
            return  # the hand-over looks for itself
        if generation != self.decided.generation:
            self.log.info("{worker} booted code that was replaced meanwhile; again", worker=slot.name)
            slot.signal(signal.SIGTERM)
            return
        self.log.info("worker {worker} is ready", worker=slot.name, pid=slot.pid)
        if not self._all_ready.called and all(each.is_ready for each in self.slots):
            self._all_ready.callback(None)


def _give_up(slot: Slot, limit_s: float) -> None:
    slot.give_up(f"it did not end within {limit_s:g} s")
