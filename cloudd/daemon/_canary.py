# -*- test-case-name: tests.daemon.test_canary -*-
"""
The canary of a swap, as the anchor runs it: new code answers on a share of the connections, and is compared.

It begins in every worker, is looked at four times a second, and ends at the first sign that the new code does worse,
after the period, or after so many requests, when the kinds of tasks have gone over (``_canary_work``).  At the end the
new code checks itself once more in every worker; where there were too few requests to compare, that check alone
decides, and the result says so.  Nothing here commits or undoes anything: ``Upgrades`` does.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import ceil
from typing import Any, Literal, Protocol

import msgspec
from attrs import define, field, frozen
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater

from cloudd.interfaces.settings import UpgradeSettings

from ._canary_work import WorkMeasure, WorkTurns
from ._comparison import RouteMeasure, add_up, figures, judge, limits_of, requests_in
from ._descriptors import Descriptors, Sample
from ._link import LinkError, LinkTimeout, RemoteError

LOOK_S = 0.25
TELL_S = 1.0
QUIET_S = 3.0  # without any request for so long from the begin, none is waited for
ANSWER_S = 2.0  # a worker that does not answer for so long, twice in a row, hangs
CHECK_S = 30.0
MIN_LOOKS = 4

CanaryReason = Literal[
    "canary_start",
    "canary_errors",
    "canary_refusals",
    "canary_latency",
    "canary_descriptors",
    "canary_crash",
    "canary_check",
    "canary_work",
]
_REASONS: Mapping[str, CanaryReason] = {
    "errors": "canary_errors",
    "refusals": "canary_refusals",
    "slow": "canary_latency",
    "tail": "canary_latency",
}


class Asked(Protocol):
    """The host's workers."""

    @property
    def is_stopping(self) -> bool:
        """Whether they are being ended with the daemon."""

    async def ask_all(self, call: str, timeout_s: float = ANSWER_S, **body: Any) -> dict[str, Any]:
        """Call every worker that is ready: name -> answer, or the ``LinkError`` why there is none."""


@frozen(kw_only=True)
class CanaryRules:
    """
    :param percent: of the connections, above 0 and below 100
    :param period_s: after which it ends
    :param min_requests: fewer of the new code's requests are not compared
    :param max_requests: after which it ends before its period is over
    """

    percent: float
    period_s: float
    min_requests: int
    max_requests: int

    @classmethod
    def of(cls, settings: UpgradeSettings, percent: float) -> CanaryRules:
        """Those of the settings, with another share."""
        return cls(
            percent=percent,
            period_s=settings.canary_period_s,
            min_requests=settings.canary_min_requests,
            max_requests=settings.canary_max_requests,
        )


class CanaryFailed(Exception):
    """
    The new code must not be committed.

    :param reason: for the metrics
    :param cause: in words
    :param decided_at: when the observation that decides was there, of the clock
    :param seen: the figures until then
    """

    def __init__(self, reason: CanaryReason, cause: str, decided_at: float, seen: str = "") -> None:
        super().__init__(cause)
        self.reason = reason
        self.cause = cause
        self.decided_at = decided_at
        self.seen = seen


class CanaryStopped(Exception):
    """The daemon is being stopped: this says nothing about the code."""


class _Begun(msgspec.Struct):
    connections: bool
    work: list[str]


class _Answer(msgspec.Struct):
    routes: dict[str, RouteMeasure]
    work: dict[str, WorkMeasure]
    descriptors: int | None = None  # of a worker with connections
    limit: int = 0


@define
class Canary:
    """
    One canary.

    :param tell: a sentence with figures, seconds since its begin, and its period, for the progress
    """

    _workers: Asked
    _clock: IReactorTime
    _rules: CanaryRules
    _tell: Callable[[str, int, int], None]
    _taking_part: set[str] = field(factory=set)
    _silent: set[str] = field(factory=set)  # did not answer at the last look
    _measures: dict[str, dict[str, RouteMeasure]] = field(factory=dict)  # by worker
    _total: dict[str, RouteMeasure] = field(factory=dict)
    _descriptors: Descriptors = field(factory=Descriptors)
    _has_connections: bool = False
    _work: WorkTurns = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._work = WorkTurns(self._rules.period_s)

    async def run(self, number: int) -> str:
        """
        Try the generation, which is prepared in every worker.

        It stays in the canary: the caller commits or aborts.

        :return: by what it was judged, with figures
        :raises CanaryFailed: it does worse
        :raises CanaryStopped: the daemon is being stopped
        """
        await self._begin(number)
        looks = max(MIN_LOOKS, ceil((self._rules.period_s + self._work.slack_s) / LOOK_S))
        began, told = self._clock.seconds(), -1
        for look in range(1, looks + 1):
            await deferLater(self._clock, LOOK_S)
            await self._look(number, looks)
            await self._move_work(number)
            elapsed = self._clock.seconds() - began
            if int(elapsed / TELL_S) != told:
                told = int(elapsed / TELL_S)
                self._tell(self._sentence() + self._work.progress(), told, ceil(self._rules.period_s))
            if self._work.is_through and self._has_seen_enough(look, elapsed):
                break
        await self._check(number)
        return self._judged() + self._work.result()

    def _has_seen_enough(self, look: int, elapsed: float) -> bool:
        if elapsed >= self._rules.period_s and look >= MIN_LOOKS:
            return True  # on a busy machine with fewer looks
        if requests_in(self._total) >= self._rules.max_requests:
            return True
        return elapsed >= QUIET_S and self._nobody_asks()

    async def _begin(self, number: int) -> None:
        share = self._rules.percent / 100
        answers = await self._workers.ask_all("begin_canary", CHECK_S, number=number, share=share)
        for name, answer in answers.items():
            if isinstance(answer, RemoteError):
                raise self._failed("canary_start", f"worker {name}: {answer.cause}")
            if isinstance(answer, LinkError):
                raise self._died(name, answer)
            begun = msgspec.convert(answer, _Begun)
            self._has_connections = self._has_connections or begun.connections
            self._work.add(begun.work)
            if begun.connections or begun.work:
                self._taking_part.add(name)
        self._tell(f"{self._rules.percent:g} % of the connections", 0, ceil(self._rules.period_s))

    async def _look(self, number: int, looks: int) -> None:
        """Ask all, add up, and judge."""
        limits = limits_of(self._total)
        answers = await self._workers.ask_all("measure_canary", ANSWER_S, number=number, limits=limits)
        for name in sorted(self._taking_part):
            answer = answers.get(name)
            if isinstance(answer, LinkTimeout) and name not in self._silent:
                self._silent.add(name)  # a busy machine; what it told before counts
                continue
            if answer is None or isinstance(answer, LinkError):
                raise self._died(name, answer)
            self._silent.discard(name)
            told = msgspec.convert(answer, _Answer, str_keys=True)
            self._measures[name] = told.routes
            self._work.note(told.work)
            if told.descriptors is not None:
                self._descriptors.add(name, _sample(told, told.descriptors))
        self._total = add_up(self._measures.values())
        found = judge(self._total, looks)
        if found is not None:
            raise self._failed(_REASONS[found.kind], found.cause)
        leak = self._descriptors.finding()
        if leak:
            raise self._failed("canary_descriptors", leak)
        worse = self._work.worse()
        if worse:
            raise self._failed("canary_work", worse)

    async def _move_work(self, number: int) -> None:
        """Let the next kind go over, when it is its turn."""
        kind = self._work.following(self._clock.seconds())
        if kind is None:
            return
        answers = await self._workers.ask_all("move_work", number=number, kind=kind)
        for name in sorted(self._taking_part):
            answer = answers.get(name)
            if isinstance(answer, RemoteError):
                raise self._failed("canary_work", f"tasks of the kind {kind} cannot go over: {answer.cause}")
            if isinstance(answer, LinkTimeout):
                continue  # the next looks show whether it hangs
            if name not in answers or isinstance(answer, LinkError):
                raise self._died(name, answer)

    async def _check(self, number: int) -> None:
        answers = await self._workers.ask_all("check_canary", CHECK_S, number=number)
        for name in sorted(self._taking_part):
            if name not in answers:
                raise self._died(name, None)
            answer = answers[name]
            if isinstance(answer, RemoteError):
                raise self._failed("canary_check", f"worker {name}, when it had served: {answer.cause}")
            if isinstance(answer, LinkError):
                raise self._died(name, answer)

    def _judged(self) -> str:
        requests = requests_in(self._total)
        if not self._has_connections:
            return "judged by self-checks: no worker has connections"
        if self._nobody_asks():
            return "judged by self-checks: there were no requests to compare"
        if requests < self._rules.min_requests:
            many = "1 request was" if requests == 1 else f"{requests} requests were"
            return f"judged by self-checks: {many} too few to compare"
        return f"judged by comparison: {self._sentence()}"

    def _nobody_asks(self) -> bool:
        """Whether neither code had any request."""
        return not any(found.new.requests or found.old.requests for found in self._total.values())

    def _sentence(self) -> str:
        return f"{self._rules.percent:g} % of the connections: {figures(self._total)}"

    def _failed(self, reason: CanaryReason, cause: str) -> CanaryFailed:
        return CanaryFailed(reason, cause, self._clock.seconds(), self._sentence())

    def _died(self, name: str, error: LinkError | None) -> CanaryFailed | CanaryStopped:
        """A worker no longer answers; when the daemon ends that is no sign of bad code."""
        if self._workers.is_stopping:
            return CanaryStopped("the daemon is stopping")
        cause = "it ended" if error is None else _words(error)
        return self._failed("canary_crash", f"worker {name} did not come through it: {cause}")


def _sample(told: _Answer, descriptors: int) -> Sample:
    requests = {route: (found.new.requests, found.old.requests) for route, found in told.routes.items()}
    return Sample(descriptors, told.limit, requests)


def _words(error: LinkError) -> str:
    return error.cause if isinstance(error, RemoteError) else str(error)
