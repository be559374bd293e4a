# -*- test-case-name: tests.daemon.test_upgrade -*-
"""
The way of a change that stays in its processes: what all workers are asked for, step by step, and how each is undone.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

from attrs import define
from twisted.internet.defer import Deferred
from twisted.internet.defer import TimeoutError as WaitedTooLong
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from cloudd.interfaces.settings import UpgradeSettings
from reload import CodeTree

from ._canary import Canary, CanaryFailed, CanaryRules, CanaryStopped
from ._causes import cause_of
from ._swap_metrics import Reason
from ._target import ChangeEnded, Target
from ._upgrade_interfaces import Workers
from ._workers import NobodyAsked, SwapFailed

PREPARE_TIMEOUT_S = 60.0
COMMIT_TIMEOUT_S = 15.0

T = TypeVar("T")


@define(eq=False)
class Swap:
    """
    :param report: told of each step: its name, a sentence, and how much of how much is done
    """

    _workers: Workers
    _clock: IReactorTime
    _settings: UpgradeSettings
    _report: Callable[..., None]
    log = Logger()

    async def prepare(self, number: int, target: Target, staged: CodeTree) -> None:
        """
        Load it, and let it check itself, in a process apart and then in all workers.

        :raises ChangeEnded: it cannot be used; it was dropped everywhere
        """
        text = f"loading generation {number} and letting it check itself, in a process apart and then in all workers"
        self._report("prepare", text)
        try:
            await self._within(PREPARE_TIMEOUT_S, self._workers.check_apart(number, staged))
            await self._within(PREPARE_TIMEOUT_S, self._workers.prepare(number, staged))
        except Exception as error:
            await self.abort(number)
            undone: Reason = "timeout" if isinstance(error, WaitedTooLong) else "prepare"
            blames = not isinstance(error, NobodyAsked)
            raise ChangeEnded("failed", cause_of(error), target, undone, blames=blames) from error

    async def try_out(self, number: int, percent: float, target: Target, staged: CodeTree) -> str:
        """
        Let the prepared generation answer on a share of the connections, and compare.

        :param percent: of the connections
        :return: by what it was judged; empty: there was no canary
        :raises ChangeEnded: it is not as good as what serves, or could not be judged; it was dropped everywhere
        """
        if not percent:
            return ""
        rules = CanaryRules.of(self._settings, percent)
        canary = Canary(
            self._workers, self._clock, rules, lambda text, done, total: self._report("canary", text, done, total)
        )
        try:
            await self._workers.prepare_late(number, staged)
            judged = await canary.run(number)
            await self._workers.prepare_late(number, staged)
        except CanaryFailed as error:
            await self.abort(number)
            rollback_s = round(self._clock.seconds() - error.decided_at, 4)
            cause = f"rolled back by the canary: {cause_of(error)}"
            raise ChangeEnded(
                "failed", cause, target, error.reason, blames=True, canary=error.seen, rollback_s=rollback_s
            ) from error
        except (CanaryStopped, NobodyAsked) as error:
            await self.abort(number)
            raise ChangeEnded("failed", cause_of(error), target, "prepare") from error
        except Exception as error:
            await self.abort(number)
            if isinstance(error, SwapFailed):
                raise ChangeEnded("failed", cause_of(error), target, "prepare", blames=True) from error
            raise
        return judged

    async def abort(self, number: int) -> None:
        """Drop what is prepared, everywhere; a failure is logged, not raised."""
        try:
            await self._within(COMMIT_TIMEOUT_S, self._workers.abort(number))
        except Exception:
            self.log.failure("generation {number} could not be dropped everywhere", number=number)

    async def commit(self, number: int) -> list[str]:
        """
        Let it take over in all workers; it is decided for.

        :return: warnings
        """
        self._report("commit", f"generation {number} takes over")
        try:
            silent = await self._within(COMMIT_TIMEOUT_S, self._workers.commit(number))
        except Exception as error:
            self.log.failure("generation {number} was not confirmed", number=number)
            return [f"the decision stands, but not all workers confirmed it: {cause_of(error)}"]
        return [f"{name} did not confirm: it is ended, and starts again with the new code" for name in silent]

    async def _within(self, seconds: float, work: Awaitable[T]) -> T:
        async def run() -> T:
            return await work

        timed: Deferred[T] = Deferred.fromCoroutine(run()).addTimeout(seconds, self._clock)
        try:
            return await timed
        except WaitedTooLong:
            raise WaitedTooLong(f"not all workers answered within {seconds:g} s") from None
