"""
Data on its way to disk.

``FileUpload`` lives in the reactor thread: it collects bytes, hands them on in steps, and holds the client back.
``DataFile`` is what it hands them to, in a thread, one step at a time: it writes, and feeds the digests.

**Going on in another process.**  The file goes along as a descriptor, and what is not surely in it goes along as bytes,
also those that a thread is just writing: both processes may write them, since they are the same bytes at the same
place.  So an upload can be told at any moment, however busy it is.  Digests cannot be told: the other process reads
the file from its beginning, a slice at a time between the steps, and only the end of the upload waits for that.  All
uploads of a process take turns with their slices, so that other work does not find every thread hashing.

A file without a name is owned by whoever has it open.  The other process gives it a name that begins with its own
owner's, so that neither the end of the first process nor ``clean`` can touch it; see ``Layout.take_over`` for file
systems on which it has a name from the beginning.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Mapping
from typing import Any

from twisted.internet.defer import Deferred, DeferredLock, fail, succeed
from twisted.python.failure import Failure
from zope.interface import implementer

from ._borrowed import Arguments, Result, Threads
from ._interfaces import DataDamaged, Extent, Hasher, IUpload, NotTellable, UnknownState
from ._layout import Layout, refusing_when_full
from ._space import Space

STEP_BYTES = 262_144
WINDOW_BYTES = 524_288
#: What one job reads of a file whose digests were begun in another process.
SLICE_BYTES = 1_048_576
STATE_FORMAT = 1


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
        self._hashed = 0  # bytes that the digests have got

    def adopt(self, descriptor: int, size: int, old_file: str) -> None:
        """
        Go on with a file that another process began; called once, at first, in a thread.

        :param descriptor: closed when this raises, else ours
        :param size: bytes in it
        :param old_file: its name in the layout, if it has one
        :raises UnknownState: it is no such file
        """
        self._descriptor = descriptor
        try:
            found = os.fstat(descriptor)
            if not stat.S_ISREG(found.st_mode) or found.st_size < size:
                raise UnknownState(f"the file of an upload has {found.st_size} bytes, not {size}")
            if old_file:
                with refusing_when_full():
                    self._descriptor, self._is_linked = self._layout.take_over(descriptor, old_file, self.file)
        except BaseException:
            self.close()
            raise
        self.size = size

    @property
    def descriptor(self) -> int:
        """The open file; -1 while nothing was written."""
        return self._descriptor

    @property
    def linked_file(self) -> str:
        """Its name in the layout, if it has one."""
        return self.file if self._is_linked else ""

    @property
    def is_behind(self) -> bool:
        """Whether the digests have not got all that is written."""
        return self._hashed < self.size and bool(self._makers)

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
            _write_all(self._descriptor, data, self.size)
        if not self.is_behind:
            for hasher in self._running_hashers().values():
                hasher.update(data)
            self._hashed = self.size + len(data)
        self.size += len(data)

    def catch_up(self) -> None:
        """
        Give the digests the next slice of what was written in another process.

        :raises DataDamaged: the file has become shorter
        """
        hashers = self._running_hashers().values()
        end = min(self.size, self._hashed + SLICE_BYTES)
        while self._hashed < end:
            piece = self._read(self._hashed, end)
            for hasher in hashers:
                hasher.update(piece)
            self._hashed += len(piece)

    def feed(self, hasher: Hasher, start: int, pieces: list[bytes]) -> None:
        """Give ``hasher`` what is written from ``start`` on, and then ``pieces``, which follow it."""
        position = start
        while position < self.size:
            piece = self._read(position, self.size)
            hasher.update(piece)
            position += len(piece)
        hasher.update(b"".join(pieces)[max(0, start - self.size) :])

    def _read(self, start: int, end: int) -> bytes:
        piece = os.pread(self._descriptor, min(STEP_BYTES, end - start), start)
        if not piece:
            raise DataDamaged(f"the file of an upload ends at {start}, not at {end}")
        return piece

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

    :param turns: held by the upload of this process that reads a slice to catch up
    """

    def __init__(self, threads: Threads, data_file: DataFile, turns: DeferredLock) -> None:
        self.size = 0
        self.data_file = data_file
        self._threads = threads
        self._pieces: list[bytes] = []
        self._held = 0  # bytes in _pieces
        self._running: list[bytes] = []  # what the job under way writes
        self._running_bytes = 0
        self._is_busy = False
        self._is_taken = False
        self._is_ending = False  # it is being finished, discarded, or has ended
        self._is_abandoned = self._is_discarded = self._is_feeding = False
        self._turns = turns
        self._wants_turn = self._has_turn = False
        self._was_append = False  # the last step was one: a slice is next
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
        if self._held + self._running_bytes < WINDOW_BYTES:
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

    # ---- going on in another process

    def tell(self) -> dict[str, Any]:
        """See ``IUpload``."""
        if self._is_taken or self._is_ending or self._failure is not None:
            raise NotTellable("the upload is ending")
        written = self._written
        return {
            "format": STATE_FORMAT,
            "size": self.size,
            "written": written,
            "file": self.data_file.linked_file if written else "",
            "pieces": b"".join([*self._running, *self._pieces]),
        }

    def descriptors(self) -> tuple[int, ...]:
        """See ``IUpload``."""
        return (self.data_file.descriptor,) if self._written and not self._is_taken else ()

    @property
    def _written(self) -> int:
        """Bytes that are surely in the file: of a job under way nobody knows."""
        return self.size - self._held - self._running_bytes

    def abandon(self) -> None:
        """See ``IUpload``."""
        if not self._is_taken:
            self._is_taken = self._is_abandoned = True
            self._pieces, self._held = [], 0
            if not self._is_busy:
                self.data_file.close()

    def go_on(self, state: Mapping[str, Any]) -> None:
        """Take the bytes that were not in the file, and begin with what is to be caught up; called once, at first."""
        self.size = state["size"]
        self._held = len(state["pieces"])
        self._pieces = [state["pieces"]] if self._held else []
        self._step()

    def feed(self, hasher: Hasher, start: int) -> Deferred[None]:
        """See ``IUpload``."""
        return Deferred.fromCoroutine(self._feed(hasher, start))

    async def _feed(self, hasher: Hasher, start: int) -> None:
        self._is_feeding = True  # no further step begins
        try:
            while self._is_busy:
                await self._idle()
            self._raise_failure()
            await self._job(self.data_file.feed, hasher, start, list(self._pieces))
        finally:
            self._is_feeding = False
            self._step()

    # ----

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
        self._is_ending = True
        while self._is_busy or self._wants_turn:  # with steps and slices, until the digests have all that is written
            await self._idle()
        self._raise_failure()
        if self._digests is None:
            pieces, self._pieces, self._held = self._pieces, [], 0
            self._digests = await self._job(self.data_file.finish, pieces)
        return self._digests

    async def _discard(self) -> None:
        self._pieces, self._held = [], 0
        self._is_discarded = True
        while self._is_busy:
            await self._idle()
        await self._job(self.data_file.discard)

    def _idle(self) -> Deferred[None]:
        """Fires when the job under way has ended, well or not."""
        waiting: Deferred[None] = Deferred()
        self._waiting.append(waiting)
        return waiting

    def _step(self) -> None:
        if self._is_busy or self._is_feeding:
            return
        if self._is_abandoned or self._is_discarded or self._failure is not None:
            self._leave_turn()
            return
        if self.data_file.is_behind and not self._wants_turn:
            self._wants_turn = True
            self._turns.acquire().addCallback(self._take_turn)
            if self._is_busy:
                return
        may_append = self._held >= STEP_BYTES
        if self._has_turn and (self._was_append or not may_append):
            self._wants_turn = self._was_append = False
            self._job(self.data_file.catch_up).addErrback(lambda _: None)
        elif may_append:
            self._was_append = True
            self._running, self._pieces = self._pieces, []
            self._running_bytes, self._held = self._held, 0
            self._job(self.data_file.append, self._running).addErrback(lambda _: None)  # kept as _failure

    def _take_turn(self, _: DeferredLock) -> None:
        """It is ours to catch up, with the next job."""
        self._has_turn = True
        self._step()

    def _leave_turn(self) -> None:
        if self._has_turn:
            self._has_turn = self._wants_turn = False
            self._turns.release()
            self._wake()

    def _job(
        self, function: Callable[Arguments, Result], *args: Arguments.args, **kwargs: Arguments.kwargs
    ) -> Deferred[Result]:
        # A Deferred of its own: cancelling it must not hide that the thread is still at work.
        done: Deferred[Result] = Deferred()
        self._is_busy = True
        self._threads.run(function, *args, **kwargs).addBoth(self._job_ended, done)
        return done

    def _job_ended(self, result: Result | Failure, done: Deferred[Result]) -> None:
        self._is_busy = False
        self._running, self._running_bytes = [], 0
        if self._is_abandoned:
            self.data_file.close()  # not while a thread wrote to it
        if self._has_turn and not self._wants_turn:  # it was a slice
            self._has_turn = False
            self._turns.release()
        if isinstance(result, Failure):
            self._failure = result
            self._pieces, self._held = [], 0
        self._step()
        self._wake()
        if isinstance(result, Failure):
            done.errback(result)
        else:
            done.callback(result)

    def _wake(self) -> None:
        waiting, self._waiting = self._waiting, []
        for deferred in waiting:
            deferred.callback(None)

    def _raise_failure(self, _: None = None) -> None:
        if self._failure is not None:
            self._failure.raiseException()


def _write_all(descriptor: int, data: bytes, offset: int) -> None:
    """Not at the file's own position, which other processes share."""
    view = memoryview(data)
    while view:
        written = os.pwrite(descriptor, view, offset)
        view, offset = view[written:], offset + written


def check_state(state: Mapping[str, Any], descriptors: list[int]) -> None:
    """
    Whether this is what ``FileUpload.tell`` gave.

    :raises UnknownState:
    """
    if state.get("format") != STATE_FORMAT:
        raise UnknownState(
            f"an upload's state has the format {state.get('format')!r}, this cloudd knows {STATE_FORMAT}"
        )
    if state["written"] + len(state["pieces"]) != state["size"] or bool(state["written"]) != bool(descriptors):
        raise UnknownState("an upload's state does not fit its file")
    if len(descriptors) > 1:
        raise UnknownState("an upload has more than one file")
