"""What a ``FileStore`` borrows from the process it lives in; the daemon's own objects fit by their shape."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar

from twisted.internet.defer import Deferred

Result = TypeVar("Result")
Arguments = ParamSpec("Arguments")


class Threads(Protocol):
    """A bounded thread pool."""

    def run(
        self, function: Callable[Arguments, Result], /, *args: Arguments.args, **kwargs: Arguments.kwargs
    ) -> Deferred[Result]:
        """Call ``function`` in a thread; fires in the reactor thread."""


class Index(Protocol):
    """
    One SQLite database in WAL mode that every process of the host may have open.

    Functions get a ``sqlite3.Connection`` in a thread.  A write is one transaction, on disk when its Deferred fires;
    its function may run more than once.
    """

    def read(
        self,
        function: Callable[Concatenate[Any, Arguments], Result],
        /,
        *args: Arguments.args,
        **kwargs: Arguments.kwargs,
    ) -> Deferred[Result]:
        """Run ``function(connection, ...)`` on a consistent snapshot."""

    def write(
        self,
        function: Callable[Concatenate[Any, Arguments], Result],
        /,
        *args: Arguments.args,
        **kwargs: Arguments.kwargs,
    ) -> Deferred[Result]:
        """Run ``function(connection, ...)`` as one transaction; what it raises undoes it alone."""

    def version(self) -> int | None:
        """
        A number that stays the same as long as nobody commits, in whichever process; asked without waiting.

        What a ``read`` begun afterwards finds holds as long as this number.  ``None``: it cannot be told.
        """
