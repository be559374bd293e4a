# -*- test-case-name: tests.daemon.test_generations -*-
"""
The generations of code that live in one worker: one that answers new requests, perhaps one that is prepared, and older
ones whose last requests have not ended.

A swap has two steps, so that all workers of a host change as one: ``prepare`` loads, builds and checks, and changes
nothing that a client can see; ``commit`` is one assignment.  ``abort`` drops what was prepared.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable, Mapping
from typing import Any

from attrs import define, field
from twisted.internet.defer import Deferred
from twisted.logger import Logger

from cloudd.interfaces.application import IApplication, PartHealth, Resources, SelfCheckFailed, Threads
from reload import Generation, TreeError

from ._code_source import APPLICATION, CodeSource

FREE_DELAY_S = 1.0
POLITE_SWITCH_S = 0.0005
LOOKS_BEFORE_HOLDERS = 5


class PrepareFailed(Exception):
    """New code cannot be used; the text says which module and why.  Nothing was changed."""

    expected = True


@define(eq=False)
class Running:
    """One generation in this worker.  ``in_flight`` is changed by ``Generations`` alone."""

    number: int
    tree_hash: str
    generation: Generation
    application: IApplication | None
    in_flight: int = 0
    total: int = 0
    retired: bool = False


@define(eq=False)
class Generations:
    """
    :param make_resources: what a generation of that number is lent
    :param free_delay_s: after which a released generation is collected; that stops the worker for some 50 ms, so each
        worker should have another one
    :param forget: called when a generation is released, to empty caches of the kernel that may hold its values
    """

    _reactor: Any
    _threads: Threads
    _source: CodeSource
    _make_resources: Callable[[int], Resources]
    _forget: Callable[[], object] = field(default=lambda: None)
    _free_delay_s: float = FREE_DELAY_S
    current: Running | None = None
    prepared: Running | None = None
    retired: dict[int, Running] = field(factory=dict)
    leaks: dict[int, list[str]] = field(factory=dict)  # number -> what holds it, for the operator
    log = Logger()

    async def boot(self, number: int, tree_hash: str) -> None:
        """
        Load the first generation of this worker and start it.

        :raises PrepareFailed: it cannot be loaded
        """
        await self.prepare(number, tree_hash)
        self.commit(number)

    async def prepare(self, number: int, tree_hash: str) -> dict[str, str]:
        """
        Load a generation in a thread, build its application and let it check itself.

        :return: its modules: public name -> SHA-256 of the source
        :raises PrepareFailed: with the cause; nothing is left of it
        """
        if self.prepared is not None:
            self.abort(self.prepared.number)
        generation = None
        try:
            generation = await self._threads.run(self._source.open, number, tree_hash)
            module = await self._threads.run(_load_politely, generation)
            application = module.build(self._make_resources(number))
            await settled(application.self_check())
        except (Exception, SystemExit) as error:
            if generation is not None:
                generation.release()
            raise PrepareFailed(cause_of(error)) from None
        self.prepared = Running(number, tree_hash, generation, application)
        return generation.modules()

    def commit(self, number: int, state: Mapping[str, Any] | None = None) -> list[str]:
        """
        From now on requests begin in the prepared generation.

        :param state: what it starts with in a new process; None: the snapshot of the one that serves here
        :return: hashes of the trees that still have a generation here
        :raises PrepareFailed: it is not prepared, or did not start; the current one goes on
        """
        new, old = self.prepared, self.current
        if new is None or new.number != number or new.application is None:
            raise PrepareFailed(f"generation {number} is not prepared")
        try:
            new.application.start(self.snapshot() if state is None else state)
        except Exception as error:
            self.abort(number)
            raise PrepareFailed(cause_of(error)) from None
        self.current, self.prepared = new, None
        if old is not None:
            self._retire(old)
        return sorted({running.tree_hash for _state, running in self._all()})

    def snapshot(self) -> dict[str, Any]:
        """The state of the application that serves, as plain data; empty when there is none."""
        serving = self.current.application if self.current is not None else None
        return {} if serving is None else serving.snapshot()

    def abort(self, number: int) -> None:
        """Drop a generation that was prepared and not committed; without effect if there is none."""
        prepared = self.prepared
        if prepared is not None and prepared.number == number:
            self.prepared = None
            self._retire(prepared)

    def begin(self) -> Running:
        """The generation that answers a request which begins now."""
        running = self.current
        assert running is not None, "a request before the first generation"
        running.in_flight += 1
        running.total += 1
        return running

    def end(self, number: int) -> None:
        """A request of that generation has ended."""
        current = self.current
        running = current if current is not None and current.number == number else self.retired.get(number)
        if running is not None:
            running.in_flight -= 1
            if running.retired and running.in_flight == 0:
                self._release(running)

    def in_flight(self) -> int:
        """Requests that have begun and not ended."""
        current = self.current.in_flight if self.current is not None else 0
        return current + sum(old.in_flight for old in self.retired.values())

    def health(self) -> list[PartHealth]:
        """What the current generation says of its parts."""
        if self.current is None or self.current.application is None:
            return [PartHealth("generation", False, "no generation of the code is loaded yet")]
        try:
            return list(self.current.application.health())
        except Exception as error:
            return [PartHealth("application", False, f"its health cannot be told: {cause_of(error)}")]

    def status(self, connections: Mapping[int, int]) -> list[dict[str, Any]]:
        """
        Every generation that is alive, as ``cloudd.control.GenerationStatus`` in plain data.

        :param connections: how many there are by generation
        """
        return [
            {
                "number": running.number,
                "hash": running.tree_hash,
                "state": state,
                "connections": connections.get(running.number, 0),
                "requests_running": running.in_flight,
                "requests_total": running.total,
                "modules": {} if running.generation.released else running.generation.modules(),
                "holders": self.leaks.get(running.number, []),
            }
            for state, running in self._all()
        ]

    def stop(self) -> None:
        """The process ends: stop the timers of the current generation."""
        if self.prepared is not None:
            self.abort(self.prepared.number)
        if self.current is not None and self.current.application is not None:
            self.current.application.retire()

    def _all(self) -> list[tuple[str, Running]]:
        rows = [("ending", old) for _number, old in sorted(self.retired.items())]
        if self.current is not None:
            rows.append(("serving", self.current))
        if self.prepared is not None:
            rows.append(("loaded", self.prepared))
        return rows

    def _retire(self, running: Running) -> None:
        running.retired = True
        self.retired[running.number] = running
        if running.application is not None:
            try:
                running.application.retire()
            except Exception:
                self.log.failure("generation {number} did not retire well", number=running.number)
        if running.in_flight == 0:
            self._release(running)

    def _release(self, running: Running) -> None:
        running.application = None
        running.generation.release()
        self._forget()
        # Not at once: frames of the last request are still on the stack.
        self._reactor.callLater(self._free_delay_s, self._look_whether_freed, running, 1)

    def _look_whether_freed(self, running: Running, look: int) -> None:
        gc.collect()
        if running.generation.living() == 0:
            self.retired.pop(running.number, None)
            self.leaks.pop(running.number, None)
            return
        if look == LOOKS_BEFORE_HOLDERS:
            self.leaks[running.number] = running.generation.holders()
            self.log.error(
                "generation {number} is not freed; held by {holders}",
                number=running.number,
                holders=self.leaks[running.number],
            )
        if look <= LOOKS_BEFORE_HOLDERS:
            self._reactor.callLater(self._free_delay_s * 2**look, self._look_whether_freed, running, look + 1)


def _load_politely(generation: Generation) -> Any:
    """Load in a thread, giving the reactor's thread its turn ten times as often as Python does by itself."""
    usual_s = sys.getswitchinterval()
    sys.setswitchinterval(POLITE_SWITCH_S)
    try:
        return generation.load(APPLICATION)
    finally:
        sys.setswitchinterval(usual_s)


async def settled(result: Any) -> None:
    """A self-check may give a Deferred, a coroutine or nothing."""
    if isinstance(result, Deferred) or hasattr(result, "__await__"):
        await result


def cause_of(error: BaseException) -> str:
    """One line for the operator: where in the new code it went wrong, and what was said."""
    if isinstance(error, PrepareFailed | SelfCheckFailed | TreeError):
        return str(error)
    place, trace = "", error.__traceback__
    while trace is not None:
        name = trace.tb_frame.f_globals.get("__name__", "")
        if name.startswith("_g"):
            place = f"{name.partition('.')[2]} line {trace.tb_lineno}: "
        trace = trace.tb_next
    if isinstance(error, SyntaxError):
        place = f"{error.filename} line {error.lineno}: "
    return f"{place}{type(error).__name__}: {error}"
