# -*- test-case-name: tests.reload.test_handover_exchange -*-
"""
Batches in both directions: carries out what ``Giver`` and ``Taker`` decide, on real movables and descriptors.

Each deed that changes who serves a connection is written into the ledger before it is done.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Protocol

from attrs import define, frozen
from twisted.logger import Logger

from ._handover_effects import (
    Adopt,
    AnswerPrepared,
    Drop,
    Effects,
    Fail,
    Reclaim,
    Release,
    Resume,
    SendItems,
    TakeOrphans,
    Thaw,
)
from ._handover_frames import MAX_DESCRIPTORS, close_all
from ._handover_giving import Giver
from ._handover_interfaces import Incompatible, NotMovable, Offer, Reason
from ._handover_kinds import Agreement, Kinds
from ._handover_ledger import Ledger, Mark
from ._handover_messages import Committed, Item, Message, Prepare, Prepared
from ._handover_supply import Supply
from ._handover_taking import Taker

_log = Logger()

#: A larger snapshot is not sent; a message has room for one of this size.
MAX_SNAPSHOT_BYTES = 4 * 1024 * 1024
#: A part of a batch is sent when it has become this large.
_PART_BYTES = 1024 * 1024
#: No further connection joins a batch whose snapshots have so many bytes: all its clients wait for their transfer.
BATCH_BYTES = 4 * 1024 * 1024
_MAX_CAUSE = 200


@define
class Progress:
    """
    What has happened so far on this side.

    :ivar moved: given to the other process
    :ivar taken: got from it
    :ivar orphans: of ``taken``, those that the other process had offered when it died
    :ivar reclaimed: given, and taken back since the other process died before it served them
    :ivar lost: given to a process that died while it served them, or failed to be resumed
    :ivar batches: completed ones
    :ivar longest_pause_s: longest time from a batch's freeze to its release or thaw
    """

    moved: int = 0
    taken: int = 0
    orphans: int = 0
    reclaimed: int = 0
    lost: int = 0
    batches: int = 0
    longest_pause_s: float = 0.0


@frozen
class _Offered:
    movable: Any
    data: bytes
    descriptors: tuple[int, ...]


class _Sends(Protocol):
    def __call__(self, message: Message, descriptors: tuple[int, ...] = ()) -> None: ...


class Exchange:
    """
    Gives and takes batches over one link.

    :param send: sends a message with descriptors, which it duplicates when it cannot send at once
    :param seconds: the time
    :param kinds: what this side writes and reads
    :param adopter: an ``IAdopter``, ``None`` when nothing is taken here
    :param ledger: for what is given from here
    """

    def __init__(
        self,
        send: _Sends,
        seconds: Callable[[], float],
        kinds: Kinds,
        adopter: Any,
        supply: Supply,
        ledger: Ledger,
        giver: Giver,
        taker: Taker,
    ) -> None:
        self._send, self._seconds = send, seconds
        self._kinds, self._adopter, self._supply = kinds, adopter, supply
        self.giver, self.taker = giver, taker
        self.ledger = ledger
        self.their_ledger: Ledger | None = None
        self.agreement = Agreement({}, (), ())
        self.progress = Progress()
        self._offered: dict[int, _Offered] = {}
        self._frozen_at = 0.0
        self._adopted: dict[int, Any] = {}
        self._refused: dict[int, str] = {}
        self._arrived: deque[tuple[int, ...]] = deque()

    # ---- giving

    @property
    def giving(self) -> bool:
        """Whether a batch of ours is under way."""
        return bool(self._offered) or self.giver.deadline is not None or self.giver.in_doubt

    def offer(self, movables: Iterable[Any], rehearsal: bool) -> Effects:
        """
        Freeze a batch and begin to give it; nothing when none of it can move now.  What is too much for one goes back.

        :param rehearsal: it comes back when it was adopted; an empty batch is sent too
        """
        self._frozen_at = self._seconds()
        size, rest = 0, deque(movables)
        while rest and size < BATCH_BYTES:
            offered = self._freeze(rest.popleft())
            if offered is not None:
                self._offered[len(self._offered)] = offered
                size += len(offered.data)
        self._supply.put_back(rest)
        if not self._offered and not rehearsal:
            return []
        return self.giver.machine.offer(tuple(self._offered), rehearsal, self._frozen_at)

    def _freeze(self, movable: Any) -> _Offered | None:
        try:
            movable.freeze()
        except NotMovable as error:
            self._supply.keep(movable, error.reason, error.detail)
            return None
        except Exception:
            _log.failure("{movable} could not be frozen", movable=movable)
            self._supply.keep(movable, Reason.FAILED, "freeze")
            return None
        try:
            return self._told(movable, movable.offer())
        except NotMovable as error:
            reason, detail = error.reason, error.detail
        except Exception as error:
            _log.failure("{movable} could not tell its state", movable=movable)
            reason, detail = Reason.FAILED, f"{type(error).__name__}: {error}"
        _quietly(movable.thaw, "{thing} could not go on", movable)
        self._supply.keep(movable, reason, detail)
        return None

    def _told(self, movable: Any, offer: Offer) -> _Offered:
        kind = offer.snapshot.kind
        if kind not in self.agreement.sends:
            raise NotMovable(Reason.REFUSED, f"the other process does not read {kind}")
        try:
            data = self._kinds.to_send(offer.snapshot, self.agreement).pack()
        except Incompatible as error:
            raise NotMovable(Reason.REFUSED, str(error)) from None
        if len(data) > MAX_SNAPSHOT_BYTES or not 1 <= len(offer.descriptors) <= MAX_DESCRIPTORS:
            raise NotMovable(Reason.TOO_LARGE, f"{len(data)} bytes and {len(offer.descriptors)} descriptors")
        return _Offered(movable, data, offer.descriptors)

    def changed(self) -> tuple[int, ...]:
        """The slots of what did not hold still since it was offered."""
        return tuple(slot for slot, offered in self._offered.items() if _has_changed(offered.movable))

    def _send_items(self, effect: SendItems) -> None:
        for slot in self._offered:
            self.ledger.mark(effect.batch, slot, Mark.OFFERED)
        parts = list(_parts(self._offered))
        for index, part in enumerate(parts):
            items = tuple(Item(slot, offered.data, len(offered.descriptors)) for slot, offered in part)
            descriptors = tuple(number for _, offered in part for number in offered.descriptors)
            self._send(Prepare(effect.batch, items, last=index == len(parts) - 1), descriptors)

    def _thaw(self, effect: Thaw) -> None:
        for slot in effect.slots:
            self.ledger.mark(effect.batch, slot, Mark.TAKEN_BACK)
        for slot in effect.slots:
            movable = self._offered.pop(slot).movable
            _quietly(movable.thaw, "{thing} could not go on", movable)
            if slot in effect.reasons:
                self._supply.keep(movable, *effect.reasons[slot])
        self._paused()

    def _release(self, effect: Release) -> None:
        for slot in effect.slots:
            movable = self._offered.pop(slot).movable
            _quietly(movable.release, "{thing} has moved and could not be forgotten", movable)
            self.progress.moved += 1
        self._paused()
        self.progress.batches += 1

    def _reclaim(self, effect: Reclaim) -> None:
        for slot in effect.slots:
            movable = self._offered.pop(slot).movable
            if self.ledger.read(effect.batch, slot) is Mark.RESUMED:
                _quietly(movable.release, "{thing} could not be forgotten", movable)
                self.progress.lost += 1
            else:
                self.ledger.mark(effect.batch, slot, Mark.TAKEN_BACK)
                _quietly(movable.thaw, "{thing} could not go on", movable)
                self.progress.reclaimed += 1
        self._paused()

    def _paused(self) -> None:
        self.progress.longest_pause_s = max(self.progress.longest_pause_s, self._seconds() - self._frozen_at)

    # ---- taking

    def prepare(self, part: Prepare, descriptors: tuple[int, ...], announced: int) -> Effects:
        """The giver offers ``part``; its ``descriptors`` are ours from now on."""
        if sum(item.descriptors for item in part.items) != announced:
            effects: Effects = [Fail("a batch came with another number of descriptors than it names")]
        elif self._adopter is None:
            effects = [Fail("a batch was offered, and nothing is taken here")]
        else:
            effects = self.taker.prepare(part, self._seconds())
        if any(isinstance(effect, Adopt) for effect in effects):
            self._arrived.append(descriptors)
        else:
            close_all(descriptors)
        return effects

    def _adopt(self, effect: Adopt) -> None:
        descriptors = self._arrived.popleft()
        begin = 0
        for item in effect.part.items:
            own = descriptors[begin : begin + item.descriptors]
            begin += item.descriptors
            try:
                if len(own) < item.descriptors:
                    raise OSError("too many open files")
                self._adopted[item.slot] = self._adopter.adopt(self._kinds.received(item.data), own)
            except Exception as error:
                close_all(own)
                self._refused[item.slot] = f"{type(error).__name__}: {error}"[:_MAX_CAUSE]

    def _answer_prepared(self, effect: AnswerPrepared) -> None:
        refused, self._refused = self._refused, {}
        self._send(Prepared(effect.batch, refused))

    def _resume(self, effect: Resume) -> None:
        for slot in effect.withdrawn:
            self._discard(slot)
        failed = tuple(slot for slot in list(self._adopted) if not self._resume_one(effect.batch, slot))
        self._send(Committed(effect.batch, failed))

    def _resume_one(self, batch: int, slot: int) -> bool:
        adopted = self._adopted.pop(slot)
        if self.their_ledger is not None:
            self.their_ledger.mark(batch, slot, Mark.RESUMED)
        try:
            adopted.resume()
        except Exception:
            _log.failure("{adopted} was adopted and cannot be served", adopted=adopted)
            _quietly(adopted.discard, "{thing} could not be dropped", adopted)
            self.progress.lost += 1
            return False
        self.progress.taken += 1
        return True

    def _take_orphans(self, effect: TakeOrphans) -> None:
        for slot in list(self._adopted):
            mark = Mark.NONE if self.their_ledger is None else self.their_ledger.read(effect.batch, slot)
            if mark is not Mark.OFFERED:
                self._discard(slot)
            elif self._resume_one(effect.batch, slot):
                self.progress.orphans += 1
        self._refused.clear()

    def _drop(self, _: Drop) -> None:
        for slot in list(self._adopted):
            self._discard(slot)
        self._refused.clear()

    def _discard(self, slot: int) -> None:
        adopted = self._adopted.pop(slot, None)
        if adopted is not None:
            _quietly(adopted.discard, "{thing} could not be dropped", adopted)

    # ----

    _PERFORMERS: dict[type[Any], Callable[[Exchange, Any], None]] = {
        SendItems: _send_items,
        Thaw: _thaw,
        Release: _release,
        Reclaim: _reclaim,
        Adopt: _adopt,
        AnswerPrepared: _answer_prepared,
        Resume: _resume,
        TakeOrphans: _take_orphans,
        Drop: _drop,
    }

    def perform(self, effect: Any) -> bool:
        """Carry out one effect; false when it is not one of a batch."""
        performer = self._PERFORMERS.get(type(effect))
        if performer is None:
            return False
        performer(self, effect)
        return True

    def close(self) -> None:
        """Forget the ledgers; nothing is under way."""
        while self._arrived:
            close_all(self._arrived.popleft())
        self.ledger.close()
        if self.their_ledger is not None:
            self.their_ledger.close()


def _parts(offered: dict[int, _Offered]) -> Iterator[list[tuple[int, _Offered]]]:
    """A batch cut so that each part fits into a message; at least one part."""
    part: list[tuple[int, _Offered]] = []
    descriptors = size = 0
    for slot, one in offered.items():
        if part and (descriptors + len(one.descriptors) > MAX_DESCRIPTORS or size > _PART_BYTES):
            yield part
            part, descriptors, size = [], 0, 0
        part.append((slot, one))
        descriptors += len(one.descriptors)
        size += len(one.data)
    yield part


def _has_changed(movable: Any) -> bool:
    try:
        return bool(movable.changed())
    except Exception:
        _log.failure("{movable} cannot tell whether it has changed", movable=movable)
        return True


def _quietly(call: Callable[[], object], sentence: str, thing: Any) -> None:
    """One thing's trouble is not the others'."""
    try:
        call()
    except Exception:
        _log.failure(sentence, thing=thing)
