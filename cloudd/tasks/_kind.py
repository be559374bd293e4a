# -*- test-case-name: tests.tasks.test_kind -*-
"""What a kind of task is: values that a service makes once a generation."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from attrs import Factory, field, frozen

from reload import Converters, NotPlainData, Snapshot

if TYPE_CHECKING:
    from ._task import Task

Fields = dict[str, Any]
StepFunction = Callable[["Task"], Awaitable[Fields | None]]

UNDO = "undo"
"""The name of the step that runs when a task fails."""

MAX_NAME = 64
MAX_FIELDS_BYTES = 1_048_576


def _check_name(_instance: object, _attribute: object, name: str) -> None:
    if not name or len(name) > MAX_NAME or not name.isascii() or not name.isprintable() or " " in name:
        raise ValueError(f"{name!r} is no name of a kind or step: 1 to {MAX_NAME} letters without spaces")


def _check_step_name(instance: object, attribute: object, name: str) -> None:
    _check_name(instance, attribute, name)
    if name == UNDO:
        raise ValueError(f"{UNDO!r} is the name of the step that a kind's `undo` becomes")


@frozen(kw_only=True)
class Form:
    """
    How rows of a kind look, for who submits tasks and for who runs them.

    :param name: ``SERVICE.VERB_NOUN``; of one kind for good
    :param version: of payload and steps' state, as steps read them; from 1
    :param emits: the version that is written: one below ``version`` in the release that brings a new one, so that the
        release before, which may serve again after a canary or a rollback, still reads it.  None: ``version``
    :param converters: steps between versions, up and down
    """

    name: str = field(validator=_check_name)
    version: int = 1
    emits: int = field(default=Factory(lambda self: self.version, takes_self=True))
    converters: Converters = field(factory=Converters, eq=False)

    @property
    def readable(self) -> tuple[int, ...]:
        """Versions of rows that can be run."""
        return self.converters.readable(self.name, self.version)

    def written(self, fields: Fields, version: int | None = None) -> tuple[int, str]:
        """
        The version and the text that go into a row.

        :param version: that is written; None: ``emits``

        :raises NotPlainData: the fields hold something that JSON does not, or too much
        :raises SnapshotError: they have no form in the version that is written
        """
        version = self.emits if version is None else version
        snapshot = self.converters.convert(Snapshot(self.name, self.version, fields), version)
        try:
            text = json.dumps(snapshot.fields, ensure_ascii=False, separators=(",", ":"))
        except TypeError as error:
            raise NotPlainData("fields", str(error)) from None
        if len(text) > MAX_FIELDS_BYTES:
            raise NotPlainData("fields", f"{len(text)} characters are too many for a row: at most {MAX_FIELDS_BYTES}")
        return version, text

    def read(self, version: int, text: str) -> Fields:
        """
        The fields of a row as this code knows them.

        :raises SnapshotError: they cannot be converted
        :raises ValueError: the text is no JSON
        """
        return self.converters.convert(Snapshot(self.name, version, json.loads(text)), self.version).fields


@frozen(kw_only=True)
class Retry:
    """
    When a step is tried again that has raised, or whose process has died.

    :param attempts: in a row, without anything saved in between; then the task fails
    :param first_s: longest wait after the first failure; it doubles from attempt to attempt
    :param longest_s: never wait longer
    """

    attempts: int = 8
    first_s: float = 1.0
    longest_s: float = 300.0

    def delay_s(self, attempt: int, chance: float) -> float:
        """
        How long to wait after that attempt (from 1 on): between half of its longest wait and the whole.

        :param chance: from 0 to 1, so that tasks that failed together do not come back together
        """
        longest_s = min(self.longest_s, self.first_s * 2.0 ** min(attempt - 1, 60))
        return longest_s * (0.5 + chance / 2)


@frozen
class Step:
    """
    One step: safe to begin again from what it has saved last, at any moment.

    :param run: gets the ``Task``; what the last step returns is the task's result
    """

    name: str = field(validator=_check_step_name)
    run: StepFunction


@frozen(kw_only=True)
class Kind:
    """
    Tasks of one form, and how they are done.

    :param steps: in order, at least one; a name means the same in all releases that may meet
    :param permanent: errors after which trying again would not help, besides ``TaskFailed``
    :param silence_s: a step that neither saves nor ends for so long is cut off, and tried again like one that failed
    :param share: of the places for tasks on a host, how much those of this kind may have at one time; one at least
    :param keep_s: those that are done are forgotten after so long; None: after ``[tasks] keep_s``, like others.  For
        results that somebody waits for, which are large or nobody else's business
    :param undo: runs before a task is ``failed``, from the state that was saved last, with the same rules as a step
    """

    form: Form
    steps: tuple[Step, ...] = field()
    retry: Retry = field(factory=Retry)
    permanent: tuple[type[Exception], ...] = ()
    silence_s: float = 600.0
    share: float = 1.0
    keep_s: float | None = None
    undo: StepFunction | None = None

    @steps.validator
    def _check_steps(self, _attribute: object, steps: tuple[Step, ...]) -> None:
        names = [step.name for step in steps]
        if not names or len(set(names)) != len(names):
            raise ValueError(f"{self.form.name}: steps need names of their own, and there is at least one: {names}")

    def most(self, parallel: int) -> int:
        """How many of ``parallel`` places its tasks may have."""
        return max(1, int(parallel * self.share))

    def function(self, step: str) -> StepFunction | None:
        """What runs in the step of that name (empty: the first); None: there is no such step in this code."""
        if step == UNDO:
            return self.undo
        return next((each.run for each in self.steps if each.name == (step or self.first)), None)

    @property
    def first(self) -> str:
        """Name of the first step."""
        return self.steps[0].name

    def after(self, step: str) -> str:
        """Name of the step that follows; empty: that one is the last."""
        names = [each.name for each in self.steps]
        return dict(pairwise(names)).get(step, "")
