"""
One open version of an object.

The open descriptor keeps the data of a deleted file alive.  An object of many parts has too many files to hold
them all open: its reader holds a shared lock on the first one, the anchor, and whoever deletes files must get the
exclusive lock on their anchor first (``_settling``).  The lock belongs to the open file, so it goes along with the
descriptor to another process.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from twisted.internet.defer import Deferred, succeed
from zope.interface import implementer

from ._borrowed import Threads
from ._interfaces import DataDamaged, IReading, ObjectFacts, UnknownState
from ._layout import Layout, lock
from ._plain import READING_FORMAT, object_from_plain, object_to_plain
from ._small_objects import KeptReading

SMALL_BYTES = 65_536
_QUICK_TO_CLOSE_BYTES = 4_194_304
_LOCK_TRIES = 200
_LOCK_WAIT_S = 0.005


class Gone(Exception):
    """The version was deleted after it was looked up: look again."""


@implementer(IReading)
class FileReading:
    """Made in a thread by ``open_version``, used in the reactor's."""

    def __init__(self, layout: Layout, threads: Threads, facts: ObjectFacts, content: bytes | None) -> None:
        self.facts = facts
        self.content = content
        self._layout = layout
        self._threads = threads
        self._open: dict[int, int] = {}  # number of the extent -> descriptor; 0 is the anchor and stays open
        self._is_closed = False

    def regions(self, start: int, length: int) -> Sequence[tuple[int, int, int]]:
        """See ``IReading``."""
        return [(self._descriptor(number), offset, size) for number, offset, size in self._pieces(start, length)]

    def region(self, start: int, length: int) -> Deferred[tuple[int, int, int]]:
        """See ``IReading``."""
        number, offset, size = self._pieces(start, length)[0]
        if number in self._open:
            return succeed((self._open[number], offset, size))
        # A Deferred of its own: when it is cancelled, the thread's descriptor is kept all the same, and closed later.
        opened: Deferred[int] = Deferred()
        self._threads.run(self._open_extent, number).addCallback(self._keep_only, number).chainDeferred(opened)
        return opened.addCallback(lambda descriptor: (descriptor, offset, size))

    def tell(self) -> dict[str, Any]:
        """See ``IReading``."""
        return {
            "format": READING_FORMAT,
            "object": object_to_plain(self.facts),
            "content": self.content,
            "open": [] if self.content is not None else list(self._open),
        }

    def descriptors(self) -> tuple[int, ...]:
        """See ``IReading``."""
        return () if self.content is not None else tuple(self._open.values())

    def close(self) -> None:
        """See ``IReading``."""
        descriptors, self._open = list(self._open.values()), {}
        self._is_closed = True
        self._close(descriptors)

    def drop(self) -> None:
        """Close everything at once, in whichever thread."""
        descriptors, self._open = self._open, {}
        _close_all(descriptors.values())

    def __del__(self) -> None:
        self.drop()

    def go_on(self, opened: Mapping[int, int]) -> None:
        """Take over these descriptors, by the number of their extent; called once, at first."""
        self._open.update(opened)

    def open_first(self) -> None:
        """
        Open the anchor; called once, in a thread.

        :raises FileNotFoundError: deleted meanwhile
        """
        descriptor = self._descriptor(0)
        if len(self.facts.extents) > 1:
            self._lock_anchor(descriptor)
        if self.facts.size <= SMALL_BYTES and len(self.facts.extents) == 1:
            self.content = os.pread(descriptor, self.facts.size, 0)

    def _lock_anchor(self, descriptor: int) -> None:
        # Who deletes removes the anchor first, under the exclusive lock: if it still has its name now that we hold
        # the shared one, all parts are there until we let go.
        anchor = self.facts.extents[0].file
        if not _lock_shared(descriptor) or not self._layout.exists(anchor):
            raise FileNotFoundError(anchor)

    def _pieces(self, start: int, length: int) -> list[tuple[int, int, int]]:
        """``(number of the extent, offset in it, length)``."""
        pieces, begin = [], 0
        for number, extent in enumerate(self.facts.extents):
            low, high = max(start, begin), min(start + length, begin + extent.length)
            if low < high:
                pieces.append((number, low - begin, high - low))
            begin += extent.length
            if begin >= start + length:
                break
        return pieces

    def _close(self, descriptors: Sequence[int]) -> None:
        if self.facts.size <= _QUICK_TO_CLOSE_BYTES:
            _close_all(descriptors)
        elif descriptors:
            # The last descriptor of a large deleted file frees its blocks, which takes a while.
            self._threads.run(_close_all, descriptors).addErrback(lambda _: None)

    def _keep_only(self, descriptor: int, number: int) -> int:
        """Close all others but the anchor."""
        if self._is_closed:
            os.close(descriptor)
            raise ValueError("the reading is closed")
        self._close([self._open.pop(other) for other in list(self._open) if other])
        self._open[number] = descriptor
        return descriptor

    def _descriptor(self, number: int) -> int:
        if number not in self._open:
            self._open[number] = self._open_extent(number)
        return self._open[number]

    def _open_extent(self, number: int) -> int:
        """A new descriptor; may be called in a thread."""
        extent = self.facts.extents[number]
        try:
            descriptor = self._layout.open(extent.file)
        except FileNotFoundError:
            if number == 0:
                raise
            raise DataDamaged(f"{self.facts.name!r}: data file {extent.file} is missing") from None
        found = os.fstat(descriptor).st_size
        if found == extent.length:
            return descriptor
        os.close(descriptor)
        raise DataDamaged(f"{self.facts.name!r}: data file {extent.file} has {found} bytes, not {extent.length}")


def open_version(layout: Layout, threads: Threads, facts: ObjectFacts) -> FileReading:
    """
    Open a version that was just looked up; blocks.

    :raises Gone: it was deleted meanwhile
    :raises DataDamaged:
    """
    reading = FileReading(layout, threads, facts, None if facts.size else b"")
    if facts.extents:
        try:
            reading.open_first()
        except FileNotFoundError:
            reading.drop()  # the traceback may keep it alive for long
            raise Gone(facts.extents[0].file) from None
    return reading


def resume_version(layout: Layout, threads: Threads, state: Mapping[str, Any], descriptors: Sequence[int]) -> IReading:
    """
    Go on with the reading that gave ``state``.

    :param descriptors: the reading's own from now on, also when this fails
    :raises UnknownState:
    """
    try:
        if state.get("format") != READING_FORMAT:
            raise UnknownState(f"a reading's state has the format {state.get('format')!r}")
        facts = object_from_plain(state["object"])
        numbers = state["open"]
        if len(numbers) != len(descriptors) or (state["content"] is None) != (0 in numbers):
            raise UnknownState("a reading's state does not fit its files")
        for number, descriptor in zip(numbers, descriptors, strict=True):
            if os.fstat(descriptor).st_size != facts.extents[number].length:
                raise UnknownState(f"file {number} of a reading has another size than it had")
        if state["content"] is not None:
            return KeptReading(facts, state["content"])
        reading = FileReading(layout, threads, facts, None)
    except BaseException:
        _close_all(descriptors)
        raise
    reading.go_on(dict(zip(numbers, descriptors, strict=True)))
    return reading


def _lock_shared(descriptor: int) -> bool:
    # A copy shares its first file's lock with its source; while the source is deleted the lock is taken for a moment.
    for _ in range(_LOCK_TRIES):
        if lock(descriptor, fcntl.LOCK_SH):
            return True
        time.sleep(_LOCK_WAIT_S)
    return False


def _close_all(descriptors: Iterable[int]) -> None:
    for descriptor in descriptors:
        os.close(descriptor)
