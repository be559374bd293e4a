"""
Data on its way to disk.

``FileUpload`` lives in the reactor thread: it collects bytes, hands them on in steps, and holds the client back.
``DataFile`` is what it hands them to, in a thread, one step at a time: it writes, and feeds the digests.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping

from twisted.internet.defer import Deferred, fail, succeed
from twisted.python.failure import Failure
from zope.interface import implementer

from ._borrowed import Arguments, Result, Threads
from ._interfaces import Extent, Hasher, IUpload
from ._layout import Layout, refusing_when_full
from ._space import Space

STEP_BYTES = 262_144
WINDOW_BYTES = 524_288


class DataFile:
    """
    One new file of the store.  All methods but ``close`` run in threads, never two at one time.

    :param file: its name in the layout
    """

    def __init__(self, layout: Layout, space: Space, file: str, digests: Mapping[str, Callable[[], Hasher]]) -> None:
        self.file = file
        self.size = 0
        self._layout = layout
        self._space = space
        self._makers = digests
        self._hashers: dict[str, Hasher] | None = None
        self._descriptor = -1
        self._is_linked = False

    @property
    def extents(self) -> tuple[Extent, ...]:
        """What the index keeps; nothing for an object of no bytes, which has no file."""
        return (Extent(self.file, self.size),) if self.size else ()

    def append(self, pieces: list[bytes]) -> None:
        """
        Write more.

        :raises StoreFull:
        """
        data = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        if not data:
            return
        self._space.take(len(data))
        with refusing_when_full():
            if self._descriptor < 0:
                self._descriptor, self._is_linked = self._layout.create(self.file)
            _write_all(self._descriptor, data)
        self.size += len(data)
        for hasher in self._running_hashers().values():
            hasher.update(data)

    def finish(self, pieces: list[bytes]) -> Mapping[str, bytes]:
        """Write the last bytes, sync the data, and give the digests."""
        self.append(pieces)
        if self._descriptor >= 0:
            with refusing_when_full():
                os.fsync(self._descriptor)
        return {name: hasher.digest() for name, hasher in self._running_hashers().items()}

    def link(self) -> None:
        """Give the data its name in ``incoming/``."""
        if self._descriptor >= 0 and not self._is_linked:
            with refusing_when_full():
                self._layout.link(self._descriptor, self.file)
            self._is_linked = True

    def discard(self) -> None:
        """Free the space."""
        if self._is_linked:
            self._layout.remove_incoming(self.file)
            self._is_linked = False
        self.close()

    def close(self) -> None:
        """Close the descriptor; the data stays when it has a name."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def __del__(self) -> None:
        # An upload that nobody ended must not cost a descriptor for ever.
        self.close()

    def _running_hashers(self) -> dict[str, Hasher]:
        if self._hashers is None:
            # In a thread: the first of a kind may import a library.
            self._hashers = {name: make() for name, make in self._makers.items()}
        return self._hashers


@implementer(IUpload)
class FileUpload:
    """
    The reactor's side of a ``DataFile``.

    At most ``WINDOW_BYTES`` and what one ``write`` brings are held; one thread job is under way at a time.
    """

    def __init__(self, threads: Threads, data_file: DataFile) -> None:
        self.size = 0
        self.data_file = data_file
        self._threads = threads
        self._pieces: list[bytes] = []
        self._held = 0  # bytes in _pieces
        self._running = 0  # bytes that the job under way writes
        self._is_busy = False
        self._is_taken = False
        self._failure: Failure | None = None
        self._waiting: list[Deferred[None]] = []
        self._digests: Mapping[str, bytes] | None = None

    def write(self, data: bytes) -> Deferred[None] | None:
        """See ``IUpload``."""
        if self._failure is not None:
            return fail(self._failure)
        if self._is_taken:
            return fail(ValueError("the upload has ended"))
        self._digests = None
        self._pieces.append(data)
        self.size += len(data)
        self._held += len(data)
        self._step()
        if self._held + self._running < WINDOW_BYTES:
            return None
        return self._idle().addCallback(self._raise_failure)

    def finish(self) -> Deferred[Mapping[str, bytes]]:
        """See ``IUpload``."""
        return Deferred.fromCoroutine(self._finish())

    def discard(self) -> Deferred[None]:
        """See ``IUpload``."""
        if self._is_taken:
            return succeed(None)
        self._is_taken = True
        return Deferred.fromCoroutine(self._discard())

    async def take(self) -> DataFile:
        """
        Finish, and give the data to the store, which ends its life from now on; ``discard`` does nothing any more.

        :raises StoreFull: the data is discarded
        """
        if self._is_taken:
            raise ValueError("the upload has ended")
        self._is_taken = True
        try:
            await self._finish()
        except BaseException:
            await self._discard()
            raise
        return self.data_file

    async def _finish(self) -> Mapping[str, bytes]:
        while self._is_busy:
            await self._idle()
        self._raise_failure()
        if self._digests is None:
            pieces, self._pieces, self._held = self._pieces, [], 0
            self._digests = await self._job(self.data_file.finish, pieces)
        return self._digests

    async def _discard(self) -> None:
        self._pieces, self._held = [], 0
        while self._is_busy:
            await self._idle()
        await self._job(self.data_file.discard)

    def _idle(self) -> Deferred[None]:
        """Fires when the job under way has ended, well or not."""
        waiting: Deferred[None] = Deferred()
        self._waiting.append(waiting)
        return waiting

    def _step(self) -> None:
        if self._held >= STEP_BYTES and not self._is_busy and self._failure is None:
            pieces, self._pieces = self._pieces, []
            self._running, self._held = self._held, 0
            self._job(self.data_file.append, pieces).addErrback(lambda _: None)  # kept as _failure

    def _job(
        self, function: Callable[Arguments, Result], *args: Arguments.args, **kwargs: Arguments.kwargs
    ) -> Deferred[Result]:
        # A Deferred of its own: cancelling it must not hide that the thread is still at work.
        done: Deferred[Result] = Deferred()
        self._is_busy = True
        self._threads.run(function, *args, **kwargs).addBoth(self._job_ended, done)
        return done

    def _job_ended(self, result: Result | Failure, done: Deferred[Result]) -> None:
        self._is_busy, self._running = False, 0
        if isinstance(result, Failure):
            self._failure = result
            self._pieces, self._held = [], 0
        self._step()
        waiting, self._waiting = self._waiting, []
        for deferred in waiting:
            deferred.callback(None)
        if isinstance(result, Failure):
            done.errback(result)
        else:
            done.callback(result)

    def _raise_failure(self, _: None = None) -> None:
        if self._failure is not None:
            self._failure.raiseException()


def _write_all(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]
