# -*- test-case-name: tests.messaging.test_form -*-
"""How the payload of one method looks, in which versions, for who asks and for who serves."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from attrs import Factory, field, frozen

from reload import Converters, NotPlainData, Snapshot, SnapshotError

from ._errors import Fault, NoSuchVersion, RemoteFailure

if TYPE_CHECKING:
    from ._server import Call

Fields = dict[str, Any]

_NAME = re.compile(r"[a-z0-9][a-z0-9_.-]{0,63}")
ANSWER = ".answer"
"""What is added to a form's name where its answer has converters of its own."""


def check_name(_instance: object, _attribute: object, name: str) -> None:
    """
    :raises ValueError: it cannot stand in the name of a queue, in a routing key and in a metric
    """
    if not _NAME.fullmatch(name):
        raise ValueError(f"{name!r} is no name: 1 to 64 of a-z, 0-9, _, . and -, beginning with a letter or digit")


@frozen(kw_only=True)
class Form:
    """
    One method or kind of event: its name and its payload's versions.

    An answer is written in the version in which the question came; where its fields change with the version too,
    ``converters`` has steps of the kind ``NAME.answer``.

    :param name: for good
    :param version: of the payload as this code knows it; from 1
    :param emits: the version that is written: one below ``version`` in the release that brings a new one, so that the
        release before, which may still serve somewhere, reads it.  None: ``version``
    :param converters: steps between versions, up and down
    :param faults: with which the method says no, so that they arrive as what they are
    """

    name: str = field(validator=check_name)
    version: int = 1
    emits: int = field(default=Factory(lambda self: self.version, takes_self=True))
    converters: Converters = field(factory=Converters, eq=False)
    faults: tuple[type[Fault], ...] = ()

    @property
    def readable(self) -> tuple[int, ...]:
        """Versions that this code reads."""
        return self.converters.readable(self.name, self.version)

    def written(self, fields: Fields, oldest: int | None = None) -> tuple[int, Fields]:
        """
        Version and fields of a payload that goes out.

        :param oldest: what the oldest live node reads, where that is below ``emits``
        :raises NotPlainData: the fields hold something that does not cross processes
        :raises NoSuchVersion: they have no form in that version
        """
        version = self.emits if oldest is None else min(self.emits, oldest)
        return version, self._converted(self.name, self.version, fields, version)

    def read(self, version: int, fields: Fields) -> Fields:
        """
        The fields of a payload as this code knows them.

        :raises NoSuchVersion: there is no way from that version
        """
        return self._converted(self.name, version, fields, self.version)

    def answer_written(self, fields: Fields, version: int) -> Fields:
        """An answer's fields, for who asked in that version; raises as ``written``."""
        return self._answer(fields, self.version, version)

    def answer_read(self, fields: Fields, version: int) -> Fields:
        """An answer's fields as this code knows them, from who was asked in that version; raises as ``read``."""
        return self._answer(fields, version, self.version)

    def fault(self, name: str, cause: str, detail: Fields) -> Fault:
        """What a remote fault is here."""
        known: tuple[type[Fault], ...] = (*self.faults, RemoteFailure)
        found = next((each for each in known if each.name == name), Fault)
        return found(cause, detail, name)

    def _answer(self, fields: Fields, version: int, wanted: int) -> Fields:
        kind = self.name + ANSWER
        if self.converters.reachable(kind, version) == (version,):
            return Snapshot(kind, version, fields).fields  # unchanged by versions, but plain data all the same
        return self._converted(kind, version, fields, wanted)

    def _converted(self, kind: str, version: int, fields: Fields, wanted: int) -> Fields:
        try:
            return self.converters.convert(Snapshot(kind, version, fields), wanted).fields
        except NotPlainData:
            raise
        except SnapshotError as error:
            raise NoSuchVersion(str(error)) from None


Run = Callable[["Call"], Awaitable[Fields | None]]


@frozen
class Method:
    """
    A form, and what does it.

    :param run: gets a ``Call``; what it returns is the answer (None: ``{}``).  It is cancelled at the deadline
    :param repeatable: a call may be begun again elsewhere when its process died over it; others are answered with
        ``Interrupted`` then, since they may have been done.  Casts are always begun again
    """

    form: Form
    run: Run
    repeatable: bool = False
