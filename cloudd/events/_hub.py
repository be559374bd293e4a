# -*- test-case-name: tests.events.test_hub -*-
"""
From the two logs to all subscribers of one worker.

**Looking.**  While there are subscribers the hub asks every ``LOOK_S``, without waiting, whether anything was committed
to either database.  Only then it reads, once for all, and encodes each event once.

**In step or apart.**  A subscriber in step has seen what the hub has read; one list of bytes serves all that see the
same.  Everybody else is *apart*: new here, behind, ahead (it came from a worker that had read more), held for a move,
slow to take what was sent, or with a token that is being verified again.  Those are served from what is kept in memory
(``Recent``), or when that does not reach back far enough from the databases, a page at a time and a few at a time, and
join the others when they have caught up.  So nothing is ever queued for a slow client but what its connection holds.

**Slices.**  All work is done in steps, by one generator at a time.  After ``SLICE_S`` the hub rests for ``RESTS``
times as long as it has worked, so that a broadcast to thousands leaves most of the time to requests.  As the jobs
never overlap, a subscriber that is in step between two jobs has seen exactly what the hub has read.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain
from typing import Any

from twisted.internet.defer import Deferred
from twisted.logger import Logger

from ._event import RESET, Event, encoded, framed, wants
from ._grants import Grants
from ._position import Position
from ._recent import Recent
from ._sources import Page, Sources
from ._subscriber import Subscriber

LOOK_S = 0.05
SLICE_S = 0.003
RESTS = 2
PAGE = 1000  # events of each log that one look reads
OLDER_PAGE = 40  # and one read for a subscriber that is far behind
OLDER_READS = 2  # at one time: others need the databases' readers, too
RECENT = 2000  # events of each log in memory
CHUNK_BYTES = 16_384  # most that is sent to one subscriber at once, but for a single event that is longer
SLOW_BYTES = 16_384  # who has not taken so much is apart; the kernel's buffer holds several times as much beside it
ROUNDS = 25  # of heartbeats
RETIRED_S = 10.0

_FAR = Position(1 << 62, 1 << 62)
_HEARTBEAT = b": \n\n"
_NOT_KEPT = "What happened after the position that was asked for is no longer kept: look at the present state."

_log = Logger()


class Hub:
    """
    The subscribers of one worker and one generation.

    :param clock: the reactor
    :param is_fresh: whether what is known of tokens may be trusted now; nothing goes out while it may not
    :param heartbeat_s: how often each subscriber hears something
    :param counted: called with 1 and -1 as subscribers come and go
    :param timed: called with the seconds of each turn that was full
    :ivar count: how many there are
    """

    def __init__(
        self,
        clock: Any,
        sources: Sources,
        grants: Grants,
        is_fresh: Callable[[], bool],
        heartbeat_s: float,
        counted: Callable[[int], object] = lambda _: None,
        timed: Callable[[float], object] = lambda _: None,
    ) -> None:
        self._clock = clock
        self._seconds: Callable[[], float] = clock.seconds
        self._sources = sources
        self._grants = grants
        grants.over = self._end_some
        self._is_fresh = is_fresh
        self._round_s = heartbeat_s / ROUNDS
        self._counted = counted
        self._timed = timed
        self.count = 0
        self._causes: dict[Subscriber | None, str] = {}  # why it could not be read for whom; None: for all
        self._by_project: dict[str, set[Subscriber]] = {}
        self._everything: set[Subscriber] = set()
        self._apart: dict[Subscriber, None] = {}
        self._rounds: list[set[Subscriber]] = [set() for _ in range(ROUNDS)]
        self._joined = 0
        self._round = 0
        self._round_at = 0.0
        self._tick_at = 0.0
        self._serves_apart = False
        self._looks = False
        self._jobs: deque[Iterator[None]] = deque()
        self._job: Iterator[None] | None = None
        self._timer: Any = None
        self._turning = False
        self._resting = False
        self._recent: Recent | None = None
        self._delivering: Position | None = None  # where the others are while a broadcast goes round
        self._life = 0  # ends with the last subscriber: answers for an earlier one are dropped
        self._reading = False
        self._versions: tuple[int | None, int | None] | None = None
        self._must_look = False
        self._looks_begun = 0
        self._looks_done = 0
        self._older_reads = 0
        self._retired_at: float | None = None
        self._ends_some = False

    # ---- for the face

    @property
    def cause(self) -> str:
        """Why the logs could not be read when that was tried last, for those that are still here; or empty."""
        return next(iter(self._causes.values()), "")

    def join(self, subscriber: Subscriber) -> None:
        """Tell it of events from now on, until ``leave`` or until it is ended."""
        if not self.count:
            now = self._seconds()
            self._tick_at, self._round_at = now, now + self._round_s
        self.count += 1
        self._counted(1)
        self._sharing(subscriber).add(subscriber)
        subscriber.beat = self._joined % ROUNDS
        self._joined += 1
        self._rounds[subscriber.beat].add(subscriber)
        self._set_apart(subscriber, subscriber.position)
        self._add_job(self._serve_one(subscriber))

    def leave(self, subscriber: Subscriber) -> None:
        """Forget it; safe more than once."""
        if subscriber.gone:
            return
        subscriber.gone = True
        sharing = self._sharing(subscriber)
        sharing.discard(subscriber)
        if not sharing and not subscriber.view.everything:
            del self._by_project[subscriber.view.project_id or ""]
        self._rounds[subscriber.beat].discard(subscriber)
        self._apart.pop(subscriber, None)
        self._causes.pop(subscriber, None)
        self._grants.give_back(subscriber.grant)
        self.count -= 1
        self._counted(-1)
        if not self.count:
            self._stop()

    def position_of(self, subscriber: Subscriber) -> Position | None:
        """What it has been sent, exactly or a little less of what it does not want; None: not known yet."""
        if subscriber.apart or self._recent is None:
            return subscriber.position
        if self._delivering is None or subscriber.position is self._recent.end:
            return self._recent.end
        return self._delivering

    def suspect(self, concerns: Callable[[Any], bool]) -> None:
        """Some tokens may mean something else now: see ``Grants.suspect``."""
        if self.count:
            self._add_job(self._grants.suspect(concerns), first=True)

    def retire(self) -> None:
        """A newer generation took over.  Streams move there; one that cannot is ended, and its client comes back."""
        self._retired_at = self._seconds()

    # ---- turns

    def _add_job(self, job: Iterator[None], *, first: bool = False) -> None:
        if first:
            self._jobs.appendleft(job)
        else:
            self._jobs.append(job)
        if self._turning:
            return
        if self._timer is None:
            self._timer = self._clock.callLater(0, self._turn)
        elif not self._resting and self._timer.getTime() > self._seconds():
            self._timer.reset(0)

    def _turn(self) -> None:
        self._timer = None
        self._turning = True
        began = self._seconds()
        try:
            more = self._work(began + SLICE_S)
        except Exception:
            _log.failure("a job of the event hub failed")
            self._give_up_job()
            more = True
        finally:
            self._turning = False
        worked = self._seconds() - began
        if more:
            self._timed(worked)
        if self.count and self._timer is None:
            self._timer = self._clock.callLater(worked * RESTS if more else LOOK_S, self._turn)
            self._resting = more

    def _work(self, deadline: float) -> bool:
        """Do what there is to do until ``deadline``; whether something is left."""
        if self._must_end():
            return self._go_on(self._end_all(), deadline)
        if not self._is_fresh():
            return False
        now = self._seconds()
        if now >= self._tick_at:
            self._tick_at = now + LOOK_S
            self._serves_apart = self._looks = True
        if now >= self._round_at:
            self._round_at = max(self._round_at + self._round_s, now)
            self._round = (self._round + 1) % ROUNDS
            self._jobs.append(self._beat(self._rounds[self._round]))
        while self.count:
            job = self._job or self._next_job()
            if job is None:
                return False
            self._job = job
            if self._go_on(job, deadline):
                return True
            self._job = None
        return False

    def _go_on(self, job: Iterator[None], deadline: float) -> bool:
        """Whether ``deadline`` came before its end; then it goes on from there."""
        return any(self._seconds() >= deadline for _ in job)

    def _give_up_job(self) -> None:
        """Whoever may not have got what the job was to send is served by itself."""
        before, self._job, self._delivering = self._delivering, None, None
        self._versions = None  # what it had not come to is read again
        if before is not None and self._recent is not None:
            for subscriber in self._all():
                if not subscriber.apart and subscriber.position is not self._recent.end:
                    self._set_apart(subscriber, before)

    def _next_job(self) -> Iterator[None] | None:
        if self._recent is None:
            if not self._reading:
                self._read(self._begin())
            return None
        if self._jobs:
            return self._jobs.popleft()
        if self._serves_apart and self._apart:
            self._serves_apart = False
            return self._serve_all_apart()
        if self._looks and not self._reading:
            self._looks = False
            self._look()
        return None

    def _stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._life += 1
        self._jobs.clear()
        self._causes.clear()
        self._job = self._delivering = self._recent = self._versions = None
        self._reading = self._must_look = self._ends_some = False

    # ---- reading

    def _read(self, reading: Any) -> None:
        self._reading = True
        life = self._life

        def ended(failure: Any) -> None:
            if life != self._life:
                return
            self._reading = False
            if failure is None:
                self._causes.pop(None, None)
            else:
                self._must_look = True  # whoever asked for the look still waits for it
                self._failed(failure, None)

        Deferred.fromCoroutine(reading).addBoth(ended)

    def _failed(self, failure: Any, reader: Subscriber | None) -> None:
        cause = f"events cannot be read: {failure.getErrorMessage()}; see the daemon's log"
        is_news = cause not in self._causes.values()
        self._causes[reader] = cause
        if is_news:
            _log.failure("events cannot be read; it is tried again", failure)

    async def _begin(self) -> None:
        """Find out where the logs end, and hold the newest events."""
        life = self._life
        newest = (await self._sources.read(_FAR, 1)).newest
        start = Position(max(newest.control - PAGE, 0), max(newest.objects - PAGE, 0))
        page = await self._sources.read(start, PAGE)
        if life != self._life:
            return
        recent = Recent(start.joined(page.oldest), RECENT)
        recent.extend(page.events, page.end)
        self._recent = recent
        self._add_job(iter(()))

    def _look(self) -> None:
        versions = self._sources.versions()
        if self._must_look or versions != self._versions or None in versions:
            self._must_look = False
            self._looks_begun += 1
            self._read(self._read_new(versions, self._looks_begun))

    async def _read_new(self, versions: tuple[int | None, int | None], look: int) -> None:
        assert self._recent is not None
        life, after = self._life, self._recent.end
        page = await self._sources.read(after, PAGE)
        if life != self._life:
            return
        is_all = page.end == page.newest
        self._versions = versions if is_all else None
        self._add_job(self._broadcast(page, look if is_all else 0))

    # ---- jobs

    def _broadcast(self, page: Page, look: int) -> Iterator[None]:
        """Send what was read to all who are in step and may see it."""
        recent = self._recent
        assert recent is not None
        before = recent.end
        if page.is_lost(before):
            yield from self._start_anew(page.newest)
            return
        for events, end in _pieces(page, before):
            recent.extend(events, end)
            yield from self._deliver_to_all(events, before)
            before = recent.end
        if look:
            self._looks_done = look

    def _deliver_to_all(self, events: Sequence[Event], before: Position) -> Iterator[None]:
        assert self._recent is not None
        end = self._recent.end
        frames = _frames(events, before)
        self._delivering = before
        sent: dict[Any, bytes] = {}
        for subscriber in self._concerned(events):
            if not subscriber.gone and not subscriber.apart:
                key = (subscriber.view, subscriber.types)
                data = sent.get(key)
                if data is None:
                    data = sent[key] = _chosen(frames, subscriber)
                self._deliver(subscriber, data, before, end)
            yield
        self._delivering = None

    def _deliver(self, subscriber: Subscriber, data: bytes, before: Position, end: Position) -> None:
        if data:
            if self._end_if_over(subscriber):
                return
            if subscriber.held or subscriber.grant.unsure or len(data) > CHUNK_BYTES or subscriber.unsent > SLOW_BYTES:
                self._set_apart(subscriber, before)
                return
            if not self._send(subscriber, data):
                return
        subscriber.position = end

    def _start_anew(self, newest: Position) -> Iterator[None]:
        """The hub itself is too far behind, or the databases are others: each subscriber is told for itself."""
        assert self._recent is not None
        before = self._recent.end
        self._recent = Recent(newest, RECENT)
        for subscriber in self._all():
            if not subscriber.gone and not subscriber.apart:
                self._set_apart(subscriber, before)
                subscriber.judged_by = self._looks_done
            yield

    def _serve_one(self, subscriber: Subscriber) -> Iterator[None]:
        self._serve(subscriber)
        yield

    def _serve_all_apart(self) -> Iterator[None]:
        for subscriber in list(self._apart):
            self._serve(subscriber)
            yield

    def _serve(self, subscriber: Subscriber) -> None:
        """Bring one who is apart further, and into step when it has seen all."""
        recent = self._recent
        if subscriber.gone or not subscriber.apart or recent is None or self._end_if_over(subscriber):
            return
        if subscriber.held or subscriber.grant.unsure or subscriber.reading or subscriber.unsent > SLOW_BYTES // 2:
            return
        position = subscriber.position = subscriber.position or recent.end
        if not subscriber.greeted:
            subscriber.greeted = True
            if not self._send(subscriber, b"id: %b\n\n" % str(position).encode()):
                return
            subscriber.begun()
        if not recent.holds(position):
            self._read_older(subscriber, position)
        elif recent.end.reaches(position) or self._may_be_ahead(subscriber):
            self._catch_up(subscriber, recent, position)

    def _catch_up(self, subscriber: Subscriber, recent: Recent, position: Position) -> None:
        pieces: list[bytes] = []
        size, is_all = 0, True
        for event in recent.after(position):
            if size + len(event.text) > CHUNK_BYTES and pieces:
                is_all = False
                break
            position = event.after(position)
            if subscriber.view.shows(event) and wants(subscriber.types, event.type):
                pieces.append(framed(position, event))
                size += len(pieces[-1])
        if pieces and not self._send(subscriber, b"".join(pieces)):
            return
        subscriber.position = position.joined(recent.end) if is_all else position
        if not is_all:
            self._add_job(self._serve_one(subscriber))
        elif recent.end.reaches(subscriber.position):
            subscriber.position = recent.end
            subscriber.judged_by = 0
            subscriber.apart = False
            del self._apart[subscriber]

    def _may_be_ahead(self, subscriber: Subscriber) -> bool:
        """
        Whether somebody who has seen more than the hub may be right.

        Another worker may have read more than this one; but what a look that begins now does not reach was never there.
        """
        if not subscriber.judged_by:
            subscriber.judged_by = self._looks_begun + 1
            self._must_look = True
        elif self._looks_done >= subscriber.judged_by:
            self._reset(subscriber)
            return False
        return True

    def _read_older(self, subscriber: Subscriber, position: Position) -> None:
        if self._older_reads >= OLDER_READS:
            return  # it is asked again with the next tick
        self._older_reads += 1
        subscriber.reading = True
        project_id = None if subscriber.view.everything else subscriber.view.project_id
        reading = Deferred.fromCoroutine(self._sources.read(position, OLDER_PAGE, project_id))

        def ended(result: Any) -> Any:
            self._older_reads -= 1
            subscriber.reading = False
            return result

        reading.addBoth(ended)
        reading.addCallbacks(self._older_read, self._older_failed, (subscriber, position), errbackArgs=(subscriber,))
        reading.addErrback(lambda failure: _log.failure("older events could not be sent", failure))

    def _older_failed(self, failure: Any, subscriber: Subscriber) -> None:
        if not subscriber.gone:
            self._failed(failure, subscriber)

    def _older_read(self, page: Page, subscriber: Subscriber, position: Position) -> None:
        self._causes.pop(subscriber, None)
        if subscriber.gone or subscriber.held or subscriber.grant.unsure or not self._is_fresh():
            return
        if page.is_lost(position):
            self._reset(subscriber)
        else:
            data = _chosen(_frames(page.events, position), subscriber)
            if data and not self._send(subscriber, data):
                return
            subscriber.position = page.end
        self._add_job(self._serve_one(subscriber))

    def _reset(self, subscriber: Subscriber) -> None:
        """Tell it that something is missing, and go on with what comes from now on."""
        assert self._recent is not None
        position = self._recent.end
        now_us = int(self._seconds() * 1_000_000)
        text = encoded(RESET, now_us, subscriber.view.project_id, {"cause": _NOT_KEPT})
        if self._send(subscriber, b"id: %b\n%b" % (str(position).encode(), text)):
            subscriber.position = position
            subscriber.judged_by = 0

    def _beat(self, subscribers: set[Subscriber]) -> Iterator[None]:
        """One round of heartbeats: they also carry the position, so that who hears nothing else falls not behind."""
        for subscriber in list(subscribers):
            self._beat_one(subscriber)
            yield

    def _beat_one(self, subscriber: Subscriber) -> None:
        recent = self._recent
        if recent is None or subscriber.gone or self._end_if_over(subscriber):
            return
        if subscriber.held or subscriber.unsent or not subscriber.greeted:
            return
        if subscriber.apart or subscriber.position == recent.end:
            self._send(subscriber, _HEARTBEAT)
        elif self._send(subscriber, b": \nid: %b\n\n" % str(recent.end).encode()):
            subscriber.position = recent.end

    # ---- one subscriber

    def _sharing(self, subscriber: Subscriber) -> set[Subscriber]:
        """The set of those that get the events of the same projects."""
        view = subscriber.view
        return self._everything if view.everything else self._by_project.setdefault(view.project_id or "", set())

    def _concerned(self, events: Iterable[Event]) -> Iterator[Subscriber]:
        """Those who may want some of ``events``; a copy, since others come and go meanwhile."""
        projects = {event.project_id for event in events if event.project_id}
        sets = [self._by_project[project] for project in projects if project in self._by_project]
        return iter([subscriber for one in (self._everything, *sets) for subscriber in one])

    def _all(self) -> list[Subscriber]:
        return list(chain.from_iterable(self._rounds))

    def _set_apart(self, subscriber: Subscriber, position: Position | None) -> None:
        subscriber.apart = True
        subscriber.position = position
        self._apart[subscriber] = None

    def _send(self, subscriber: Subscriber, data: bytes) -> bool:
        """Whether it could be sent; one whose connection fails does no harm to others."""
        try:
            subscriber.send(data)
        except Exception:
            _log.failure("events could not be sent to a subscriber, whose stream ends")
            self._end(subscriber)
            return False
        return True

    def _end_if_over(self, subscriber: Subscriber) -> bool:
        """End it when its token has; a held one later."""
        grant = subscriber.grant
        why = grant.ended or ("the token has expired" if self._seconds() >= grant.expires_s else "")
        if not why or subscriber.held:
            return False
        if self._send(subscriber, b": %b\n\n" % why.replace("\n", " ").encode()):
            self._end(subscriber)
        return True

    def _end(self, subscriber: Subscriber) -> None:
        if not subscriber.gone:
            self.leave(subscriber)
            try:
                subscriber.end()
            except Exception:
                _log.failure("a subscriber's stream could not be ended")

    def _must_end(self) -> bool:
        if self._retired_at is not None and self._seconds() - self._retired_at > RETIRED_S:
            return True
        return any(next(iter(one)).process_ends for one in self._rounds if one)

    def _end_some(self) -> None:
        """A grant has ended: find its subscribers; one search for all grants that end meanwhile."""
        if self.count and not self._ends_some:
            self._ends_some = True
            self._add_job(self._end_those_over(), first=True)

    def _end_those_over(self) -> Iterator[None]:
        self._ends_some = False
        for subscriber in self._all():
            if not subscriber.gone:
                self._end_if_over(subscriber)
            yield

    def _end_all(self) -> Iterator[None]:
        for subscriber in self._all():
            if not subscriber.held:
                self._end(subscriber)
            yield


def _pieces(page: Page, position: Position) -> Iterator[tuple[Sequence[Event], Position]]:
    """The events of a page, in pieces that can be sent at once, each with the position behind it."""
    piece: list[Event] = []
    size = 0
    for event in page.events:
        if piece and size + len(event.text) > CHUNK_BYTES:
            yield piece, position
            piece, size = [], 0
        piece.append(event)
        size += len(event.text)
        position = event.after(position)
    if piece:
        yield piece, page.end


def _frames(events: Iterable[Event], position: Position) -> list[tuple[Event, bytes]]:
    """Each event as it goes out to who was at ``position``."""
    frames = []
    for event in events:
        position = event.after(position)
        frames.append((event, framed(position, event)))
    return frames


def _chosen(frames: Iterable[tuple[Event, bytes]], subscriber: Subscriber) -> bytes:
    view, types = subscriber.view, subscriber.types
    return b"".join(data for event, data in frames if view.shows(event) and wants(types, event.type))
