# -*- test-case-name: tests.daemon.test_generations -*-
"""
The generations of code that live in one worker: one that answers new requests, perhaps one that is prepared, and older
ones whose last requests have not ended.

A swap has two steps, so that all workers of a host change as one: ``prepare`` loads, builds and checks, and changes
nothing that a client can see; ``commit`` is one assignment.  ``abort`` drops what was prepared.  Between the two a
canary may run: ``begin_canary`` starts what was prepared and lets it answer on a share of the connections, and
``move_work`` gives it one kind of the worker's own work after the other.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from attrs import astuple, define, field
from twisted.internet.defer import CancelledError, Deferred, maybeDeferred, succeed
from twisted.logger import Logger

from cloudd.interfaces.application import IApplication, PartHealth, Resources, SelfCheckFailed, Threads
from reload import Generation, Load, LoadGivenUp, Snapshot, Spoken, States, TreeError, call_paced

from ._code_source import APPLICATION, CodeSource
from ._comparison import RouteMeasure
from ._freeing import Freeing, Running
from ._trial import Trial
from ._work_trial import WorkTrial

SETTLE_S = 5.0  # after a commit: event streams go over, the first requests come
CANARY_SILENCE_S = 5.0  # a canary that nobody looks after for so long is ended


class PrepareFailed(Exception):
    """New code cannot be used; the text says which module and why.  Nothing was changed."""

    expected = True


@define(eq=False)
class Generations:
    """
    :param make_resources: what a generation of that number is lent
    :param freeing: frees generations that are no longer needed
    :param left: called with the number of a generation that no longer answers while requests are in it
    :param canary_ended: called when one has ended, either way
    """

    _reactor: Any
    _threads: Threads
    _source: CodeSource
    _make_resources: Callable[[int], Resources]
    freeing: Freeing
    _start_load: Callable[..., Any] = field(default=Load)
    _preparing: dict[int, Deferred[dict[str, str]]] = field(init=False, factory=dict)  # by number: what has not ended
    current: Running | None = None
    highest: int = 0  # number that was ever tried here
    prepared: Running | None = None
    canary_ended: Callable[[], object] = field(default=lambda: None)
    left: Callable[[int], object] = field(default=lambda _number: None)
    trial: Trial | None = None  # of what is prepared, while a canary runs
    work_trial: WorkTrial | None = None  # likewise
    _trial_guard: Any = None
    _committed_at: float | None = None
    log = Logger()

    @property
    def retired(self) -> Mapping[int, Running]:
        """By number: those that no longer answer and are not gone yet."""
        return self.freeing.retired

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
        for other in [*self._preparing, *([self.prepared.number] if self.prepared is not None else [])]:
            self.abort(other)
        self.highest = max(self.highest, number)
        preparing = self._preparing[number] = Deferred.fromCoroutine(self._prepare(number, tree_hash))
        try:
            return await preparing
        finally:
            if self._preparing.get(number) is preparing:
                del self._preparing[number]

    async def _prepare(self, number: int, tree_hash: str) -> dict[str, str]:
        generation: Generation | None = None
        lent: tuple[object, ...] = ()
        try:
            generation = await self._threads.run(call_paced, self._source.open, number, tree_hash)
            resources = self._make_resources(number)
            lent = astuple(resources, recurse=False)
            application = await self._load(generation, resources)
            await settled(application.self_check())
            obstacles = self.spoken().obstacles(_states_of(application))
            if obstacles:
                raise PrepareFailed(f"connections in the middle of something could not go on: {'; '.join(obstacles)}")
        except (Exception, SystemExit) as error:
            cause = place_and_words(error)
            del error
            if generation is not None:
                self.freeing.free(Running(number, tree_hash, generation, None, lent))
            raise PrepareFailed(cause) from None
        finally:
            self._drop_unneeded()
        self.prepared = Running(number, tree_hash, generation, application, lent)
        return generation.modules()

    def _drop_unneeded(self) -> None:
        """Only now: of what was loaded before the fork the new generation may have had its code."""
        unneeded = self._source.take_unneeded()
        if unneeded is not None:
            self.freeing.free(Running(unneeded.number, unneeded.tree.hash, unneeded, None, ()))

    async def _load(self, generation: Generation, resources: Resources) -> IApplication:
        """Load and build in a thread; nothing of the new code runs in the reactor before that has ended."""
        name = f"load-{generation.number}"
        application: IApplication
        application = await self._start_load(self._reactor, partial(_build, generation, resources), name).result
        return application

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
        if self.trial is None:
            self._start(new, state)
        self._end_trial()
        self.work_trial = None  # all the work goes over
        self.current, self.prepared = new, None
        self._committed_at = self._reactor.seconds()
        if old is not None:
            self._retire(old)
        self._let_lead(new)
        return self.trees()

    def trees(self) -> list[str]:
        """Hashes of the trees that have a generation here; told at once, whatever there are of connections."""
        return sorted({running.tree_hash for _state, running in self._all()})

    def snapshot(self) -> dict[str, Any]:
        """The state of the application that serves, as plain data; empty when there is none."""
        serving = self.current.application if self.current is not None else None
        return {} if serving is None else serving.snapshot()

    def spoken(self) -> Spoken:
        """
        What the handlers of all generations here have told of requests that may go on elsewhere.

        First is the generation that goes on with what comes: the current one, or in a new process the prepared one.
        """
        first = self.current or self.prepared
        running = [first] if first is not None else []
        running += [
            one
            for _state, one in self._all()
            if one is not first and (one is not self.prepared or self.trial is not None)
        ]
        return Spoken([_states_of(one.application) for one in running if one.application is not None])

    def serving_state(self, state: Snapshot) -> Snapshot:
        """
        A handler's state as the current generation reads it.

        :raises SnapshotError: it does not
        """
        return self.spoken().received(state)

    def state_for(self, running: Running, state: Snapshot) -> Snapshot:
        """
        The same for the generation that was chosen; a kind that it does not know is left for it to refuse.

        :raises SnapshotError: it cannot be converted
        """
        version = _states_of(running.application).versions.get(state.kind, state.version)
        return state if version == state.version else self.spoken().converted(state, version)

    def abort(self, number: int) -> None:
        """
        Drop a generation that was or is being prepared, and was not committed; without effect if there is none.

        A canary's requests that are under way end where they began; the next ones begin in the current generation.
        """
        if (preparing := self._preparing.get(number)) is not None:
            preparing.cancel()  # wherever it hangs: a load has a thread of its own
        prepared = self.prepared
        if prepared is not None and prepared.number == number:
            self._end_trial()
            self.prepared = None
            self._retire(prepared)
            self._take_work_back()

    def settle(self, decided: int) -> None:
        """The anchor has gone in the middle of a swap: do what it has decided, by the number that it has recorded."""
        prepared = self.prepared
        if prepared is None:
            return
        if prepared.number != decided:
            self.log.error("the anchor has gone: generation {number} is dropped", number=prepared.number)
            self.abort(prepared.number)
            return
        try:
            self.commit(decided)
        except PrepareFailed as error:
            self.log.error("generation {number} cannot take over: {cause}", number=decided, cause=str(error))

    def begin_canary(self, number: int, share: float) -> tuple[str, ...]:
        """
        Let the prepared generation answer on a share of the connections, until ``commit`` or ``abort``.

        :param share: above 0 and below 1
        :return: kinds of the worker's own work that can go over: see ``move_work``
        :raises PrepareFailed: it is not prepared, or did not start: then it was dropped
        """
        new = self.prepared
        if new is None or new.number != number or self.trial is not None:
            raise PrepareFailed(f"generation {number} is not prepared")
        self._start(new)
        self.trial = Trial(new, share, self._reactor.seconds)
        self._guard_trial(number)
        if self.current is None or self.current.application is None or new.application is None:
            return ()
        self.work_trial = WorkTrial(self.current.application, new.application)
        return self.work_trial.kinds

    def move_work(self, number: int, kind: str) -> None:
        """
        Let the generation that is tried do the work of one more kind; without effect where there is no such work.

        :raises PrepareFailed: it cannot
        """
        work = self.work_trial
        if work is None or kind not in work.kinds or self.prepared is None or self.prepared.number != number:
            return
        try:
            work.move(kind)
        except Exception as error:
            raise PrepareFailed(place_and_words(error)) from None

    async def measure_canary(
        self, number: int, limits: Mapping[str, tuple[int, int]], pause: Callable[[], Any]
    ) -> dict[str, RouteMeasure] | None:
        """
        What came of the canary so far, by route; None: there is none of that number.

        :param limits: as for ``Trial.measure``
        :param pause: awaited in between, so that the reactor goes on
        """
        trial = self.trial
        if trial is None or trial.running.number != number:
            return None
        self._guard_trial(number)
        return await trial.measure(limits, pause)

    async def check_canary(self, number: int) -> None:
        """
        Let the generation that is tried check itself once more, now that it has served.

        :raises PrepareFailed: it cannot, or one of its parts fails that does not fail in the current one
        """
        trial = self.trial
        if trial is None or trial.running.number != number:
            raise PrepareFailed(f"there is no canary of generation {number}")
        application = trial.running.application
        assert application is not None
        try:
            await settled(application.self_check())
            parts = application.health()
        except Exception as error:
            raise PrepareFailed(place_and_words(error)) from None
        known = {part.part for part in self.health() if not part.ok}
        for part in parts:
            if not part.ok and part.part not in known:
                raise PrepareFailed(f"its {part.part} fails: {part.cause}")

    def begin_in_trial(self, request: Any) -> Running:
        """As ``begin``, while a canary runs: the connection's lot decides."""
        trial = self.trial
        if trial is None or not trial.begins(request):
            return self.begin()
        running: Running = trial.running
        running.in_flight += 1
        running.total += 1
        return running

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
        if running is None and self.prepared is not None and self.prepared.number == number:
            running = self.prepared  # in a canary
        if running is not None:
            running.in_flight -= 1
            if running.retired and running.in_flight == 0:
                self.freeing.free(running)

    def in_flight(self) -> int:
        """Requests that have begun and not ended."""
        return sum(running.in_flight for _state, running in self._all())

    @property
    def is_changing(self) -> bool:
        """Whether a generation is loaded or tried, or an old one has ended and waits to be freed, if it can be."""
        return bool(self._preparing) or self.prepared is not None or self.freeing.is_under_way

    @property
    def has_just_changed(self) -> bool:
        """Whether a generation took over a moment ago."""
        return self._committed_at is not None and self._reactor.seconds() - self._committed_at < SETTLE_S

    def count_after(self, number: int) -> int:
        """How many live here, whatever they do, that came after that one."""
        return sum(running.number > number for _state, running in self._all())

    def health(self) -> list[PartHealth]:
        """What the current generation says of its parts."""
        if self.current is None or self.current.application is None:
            return [PartHealth("generation", False, "no generation of the code is loaded yet")]
        try:
            return list(self.current.application.health())
        except Exception as error:
            return [PartHealth("application", False, f"its health cannot be told: {place_and_words(error)}")]

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
                "holders": self.freeing.leaks.get(running.number, []),
            }
            for state, running in self._all()
        ]

    def rest(self) -> Deferred[None]:
        """
        Let no generation begin work of its own any more: the process ends soon.

        :return: fires when what runs of the current one has ended, or can go on in another process; what an earlier one
            or a canary has not given back yet counts as ``in_flight``
        """
        self._drop_prepared()
        return succeed(None) if self.current is None else _resting(self.current.application)

    def stop(self) -> None:
        """The process ends: stop the timers of the current generation."""
        self._drop_prepared()
        if self.current is not None and self.current.application is not None:
            self.current.application.retire()

    def _drop_prepared(self) -> None:
        if self.prepared is not None:
            self.abort(self.prepared.number)

    def _all(self) -> list[tuple[str, Running]]:
        rows = [("ending", old) for _number, old in sorted(self.retired.items())]
        if self.current is not None:
            rows.append(("serving", self.current))
        if self.prepared is not None:
            rows.append(("loaded" if self.trial is None else "canary", self.prepared))
        return rows

    def _start(self, new: Running, state: Mapping[str, Any] | None = None) -> None:
        """
        Start what was prepared.

        :param state: what it begins with; None: what the current one knows
        :raises PrepareFailed: it does not start; it was dropped
        """
        assert new.application is not None
        try:
            new.application.start(self.snapshot() if state is None else state)
        except Exception as error:
            self.abort(new.number)
            raise PrepareFailed(place_and_words(error)) from None

    def _let_lead(self, running: Running) -> None:
        """Code of before there was such work has none to begin."""
        try:
            getattr(running.application, "lead", lambda: None)()
        except Exception:
            self.log.failure("generation {number} cannot begin its own work", number=running.number)

    def _take_work_back(self) -> None:
        work, self.work_trial = self.work_trial, None
        try:
            if work is not None:
                work.give_back()
        except Exception:
            self.log.failure("the current generation cannot take its work back")

    def _guard_trial(self, number: int) -> None:
        """The anchor looks four times a second; should it have gone, nobody else would end the canary."""
        if self._trial_guard is not None and self._trial_guard.active():
            self._trial_guard.reset(CANARY_SILENCE_S)
        else:
            self._trial_guard = self._reactor.callLater(CANARY_SILENCE_S, self._nobody_looks, number)

    def _nobody_looks(self, number: int) -> None:
        self.log.error("nobody looks after the canary of generation {number}: it is dropped", number=number)
        self.abort(number)

    def _end_trial(self) -> None:
        if self.trial is None:
            return
        self.trial = None
        self.canary_ended()
        if self._trial_guard is not None and self._trial_guard.active():
            self._trial_guard.cancel()

    def _retire(self, running: Running) -> None:
        self.freeing.retire(running)
        if running.application is not None:
            try:
                running.application.retire()
            except Exception:
                self.log.failure("generation {number} did not retire well", number=running.number)
        running.in_flight += 1  # its own work, as if it were a request
        _resting(running.application).addBoth(lambda _: self.end(running.number))
        if running.in_flight:
            self.left(running.number)


def _resting(application: IApplication | None) -> Deferred[None]:
    """Fires when the application's own work has ended; code of before there was such work is done with it."""
    rest = getattr(application, "rest", None)
    return succeed(None) if rest is None else maybeDeferred(rest)


def _states_of(application: IApplication | None) -> States:
    """What its handlers tell; one that has no such handlers may leave it out."""
    states: States = getattr(application, "states", States)()
    return states


def _build(generation: Generation, resources: Resources) -> IApplication:
    """In a thread."""
    application: IApplication = generation.load(APPLICATION).build(resources)
    generation.watch(application)
    return application


async def settled(result: Any) -> None:
    """A self-check may give a Deferred, a coroutine or nothing."""
    if isinstance(result, Deferred) or hasattr(result, "__await__"):
        await result


def place_and_words(error: BaseException) -> str:
    """One line for the operator: where in the new code it went wrong, and what was said."""
    if isinstance(error, PrepareFailed | SelfCheckFailed | TreeError):
        return str(error)
    if isinstance(error, LoadGivenUp | CancelledError):
        return f"it did not get ready and was given up: {str(error) or 'a self-check does not end'}"
    place, trace = "", error.__traceback__
    while trace is not None:
        name = trace.tb_frame.f_globals.get("__name__", "")
        if name.startswith("_g"):
            place = f"{name.partition('.')[2]} line {trace.tb_lineno}: "
        trace = trace.tb_next
    if isinstance(error, SyntaxError):
        place = f"{error.filename} line {error.lineno}: "
    return f"{place}{type(error).__name__}: {error}"
