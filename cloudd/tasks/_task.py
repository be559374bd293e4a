# -*- test-case-name: tests.tasks.test_runner -*-
"""A task as its step sees it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from attrs import define, field
from sqlalchemy import Connection

from cloudd.interfaces.application import Transactions

from . import _rows
from ._errors import Interrupted, LeaseLost
from ._kind import Fields, Form
from ._rows import Lease, Standing

Result = TypeVar("Result")
Moment = Callable[[str], None]


@define(eq=False, kw_only=True)
class Task:
    """
    One task while its step runs.

    :ivar payload: what was asked for; not to be changed
    :ivar state: what a step has saved last; empty in the beginning.  It stays from step to step
    :ivar attempt: which one this is since something was saved, from 1 on
    :ivar over: how this attempt has ended; nothing can be written any more
    """

    id: str
    form: Form
    project_id: str | None
    resource: str
    request_id: str
    payload: Fields
    state: Fields
    progress: int
    total: int
    attempt: int
    _lease: Lease
    _database: Transactions
    _moment: Moment
    ignores_end: bool = False  # an undo runs to its end
    writes: int = field(init=False, default=0)  # that were made
    rests: bool = field(init=False, default=False)  # set by who runs it: the runner stops
    standing: Standing = field(init=False, default=Standing(None, is_late=False))  # as the database told last
    over: LeaseLost | Interrupted | None = field(init=False, default=None)

    @property
    def end(self) -> str:
        """Why it shall end before it is done; empty: it may go on."""
        return "" if self.ignores_end else self.standing.end

    async def save(self, state: Fields, *, progress: int | None = None, total: int | None = None) -> None:
        """
        Keep how far the step is; it begins from there when it has to begin again.

        :param state: plain data that JSON holds, all of it; replaces what was saved before
        :param progress: of ``total``, for operators
        :raises LeaseLost: somebody else may run this task: nothing was written
        :raises Interrupted: it was written; end here
        """
        await self.write(_nothing, state=state, progress=progress, total=total)

    async def write(
        self,
        function: Callable[..., Result],
        /,
        *args: Any,
        state: Fields | None = None,
        progress: int | None = None,
        total: int | None = None,
    ) -> Result:
        """
        Run ``function(connection, *args)`` in one transaction that holds the lease, and ``save`` in the same.

        :raises LeaseLost: somebody else may run this task: nothing was written
        :raises Interrupted: it was written; end here
        """
        if self.over is not None:
            raise self.over
        rests = self.rests
        gets_on = state is not None and (state != self.state or progress not in {None, self.progress})

        def run(connection: Connection) -> tuple[Result, Standing]:
            standing = _rows.check(connection, self._lease)
            result = function(connection, *args)
            if state is not None and gets_on:  # what repeats itself is no progress, and counts as an attempt
                _rows.save(connection, self._lease, self.form, state, progress, total)
            if rests and (self.ignores_end or not standing.end):
                _rows.release(connection, self._lease)
            return result, standing

        self._moment("save")
        try:
            result, self.standing = await self._database.write(run)
        except LeaseLost as error:
            self.over = error
            raise
        self.writes += 1
        self._moment("saved")
        if state is not None and gets_on:
            self.state, self.attempt = state, 1
            self.progress = self.progress if progress is None else progress
            self.total = self.total if total is None else total
        if self.end or rests:
            self.over = Interrupted(self.end or "this runner stops; another one goes on")
            raise self.over
        return result


def _nothing(_connection: Connection) -> None:
    """For a save without anything else."""
