# -*- test-case-name: tests.daemon.test_upgrade -*-
"""
What is kept of changes of code: the audit log, the counts for Prometheus, the events of those who follow the host, and
the daemon's own log.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
from twisted.logger import Logger

from cloudd.control import Actor, AuditEntry, Outcome, Progress, own_actor, plain

from ._audit import AuditLog
from ._committed import Boot, Committed
from ._swap_metrics import Reason, SwapMetrics

TELL_EVERY_S = 0.25  # of one step


class ChangeLog:
    """
    :param tell: told of what those learn who follow the host's events: ``upgrade.progress`` with a ``Progress`` and
        ``upgrade.ended`` with an ``Outcome`` and the ``user`` who asked for it, as plain data
    :param now: seconds since the epoch
    """

    log = Logger()

    def __init__(
        self,
        audit: AuditLog,
        metrics: SwapMetrics,
        tell: Callable[[str, dict[str, Any]], None],
        now: Callable[[], float],
    ) -> None:
        self.audit = audit
        self._metrics = metrics
        self._tell = tell
        self._now = now
        self._told = ("", 0.0)

    def report(self, progress: Progress) -> None:
        """A step has begun or went on.  Events are kept: what it says many times a second is not for them."""
        told, now = self._told, self._now()
        if progress.step != told[0] or now - told[1] >= TELL_EVERY_S:
            self._told = (progress.step, now)
            self._tell("upgrade.progress", _facts(progress))

    async def ended(self, actor: Actor, outcome: Outcome, undone: Reason | None = None) -> Outcome:
        """
        A change has ended.

        :param undone: why it was undone; None: it was not, or never began
        :return: the outcome, with a warning where it could not be written down
        """
        self._metrics.count(outcome, undone)
        self.log.info(
            "{action} asked for by {user}: {result} {cause}",
            action=outcome.action,
            user=actor.user,
            result=outcome.result,
            cause=outcome.cause,
            old_hash=outcome.old_hash,
            new_hash=outcome.new_hash,
        )
        if not await self._write(actor, outcome):
            warnings = [*outcome.warnings, "the audit log could not be written: see the daemon's log"]
            outcome = msgspec.structs.replace(outcome, warnings=warnings)
        self._told = ("", 0.0)
        self._tell("upgrade.ended", {**_facts(outcome), "user": actor.user})
        return outcome

    async def started(self, boot: Boot, record: Committed) -> None:
        """The daemon has started, with the code that it booted; a failure to write that is logged, not raised."""
        started = Outcome(
            action="start", result="committed", cause=boot.cause, new_hash=record.hash, generation=record.generation
        )
        if boot.failure:
            failed = Outcome(
                action="start", result="failed", cause=boot.failure, old_hash=record.hash, new_hash=boot.tried
            )
            await self._write(own_actor(), failed)
        elif boot.note:
            started = msgspec.structs.replace(started, cause=boot.note)
        await self._write(own_actor(), started)

    async def _write(self, actor: Actor, outcome: Outcome) -> bool:
        entry = AuditEntry(
            time=self._now(),
            who=actor,
            action=outcome.action,
            result=outcome.result,
            old_hash=outcome.old_hash,
            new_hash=outcome.new_hash,
            generation=outcome.generation,
            cause="; ".join(filter(None, [outcome.cause, *outcome.warnings])),
            duration_s=outcome.duration_s,
            manifest=outcome.manifest,
            canary=outcome.canary,
            rollback_s=outcome.rollback_s,
        )
        try:
            await self.audit.append(entry)
        except OSError:
            self.log.failure("the audit log cannot be written")
            return False
        return True


def _facts(told: Progress | Outcome) -> dict[str, Any]:
    """What an event says: all but what tells the two apart on the control socket."""
    return {name: value for name, value in plain(told).items() if name != "type"}
