# -*- test-case-name: tests.daemon.test_trial -*-
"""
One canary inside a worker: which connections it has, and what became of their requests and of the others'.

``Generations`` has a ``Trial`` only while a canary runs; at other times all this costs a request one look at an
attribute.  What is counted, and why so, stands in ``_comparison``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from attrs import define, field

from ._comparison import (
    BROKEN,
    BUCKETS,
    CLIENT_LEFT,
    NEVER,
    SMALL_BYTES,
    RouteMeasure,
    Side,
    bucket_of,
)
from ._metrics import known_method

CONTROL_FACTOR = 9.0  # connections in the control for each one in the canary, at most
GOLDEN = 0.6180339887498949
MAX_ROUTES = 1_000
MAX_CONNECTIONS = 20_000  # connections times routes; beyond these no further connection is compared
WARM_UP = 2  # of the new code's requests on a route that are not timed: they fill its caches
MAX_TIMED = 128  # requests of one connection on one route
MAX_ENTRIES_A_SLICE = 1_000
_UP_TO = [bytes(range(bucket + 1)) for bucket in range(BUCKETS + 1)]


@define(eq=False)
class Open:
    """A request that has begun."""

    lot: float
    is_new: bool
    is_compared: bool
    counted: bool = False  # as a stream that began


@define
class OneConnection:
    """What one connection's requests on one route came to."""

    requests: int = 0
    errors: int = 0
    refused: int = 0
    latency: bytearray = field(factory=bytearray)  # a bucket each


@define
class OneSide:
    """One side of one route."""

    requests: int = 0
    failures: dict[int, int] = field(factory=dict)
    refusals: dict[int, int] = field(factory=dict)
    latency: dict[int, int] = field(factory=dict)
    connections: dict[float, OneConnection] = field(factory=dict)


@define(eq=False)
class Trial:
    """
    :param running: the generation that is tried, started
    :param share: of the connections, above 0 and below 1
    :param now: the clock of ``Request.began``
    """

    running: Any
    share: float
    _now: Callable[[], float]
    _open: dict[Any, Open] = field(factory=dict)
    _streams: dict[Any, Open] = field(factory=dict)
    _routes: dict[str, tuple[OneSide, OneSide]] = field(factory=dict)  # new, old
    _entries: int = 0
    _shift: float = field(init=False)
    _compared: float = field(init=False)

    def __attrs_post_init__(self) -> None:
        # Another share of the connections each time, so that not always the same ones try what is new.
        self._shift = self.running.number * GOLDEN % 1.0
        self._compared = min(1.0, self.share * (1.0 + CONTROL_FACTOR))

    def place(self, lot: float) -> float:
        """Where a lot lies in this canary: below ``share`` it is in."""
        return (lot + self._shift) % 1.0

    def takes(self, lot: float) -> bool:
        """Whether the connection with that lot is in the canary."""
        return self.place(lot) < self.share

    def begins(self, request: Any) -> bool:
        """A request begins; gives whether the new code answers it."""
        place = self.place(request.lot)
        is_new = place < self.share
        self._open[request] = Open(request.lot, is_new, place < self._compared)
        return is_new

    def ended(self, request: Any, seconds: float) -> None:
        """A request has ended; one that began before the canary is not counted."""
        begun = self._open.pop(request, None)
        if begun is None:
            begun = self._streams.pop(request, None)
            if begun is None:
                return
        small = request.received_bytes <= SMALL_BYTES and request.sent_bytes <= SMALL_BYTES
        status = BROKEN if request.broken else request.status
        sides = self._sides(request, begun)
        is_cold = begun.is_new and sides[0].requests < WARM_UP
        bucket = bucket_of(seconds) if small and not begun.counted and not is_cold else NEVER
        for side in sides:
            _count(self._connection(side, begun), side, status, bucket, begun.counted)

    def forget(self, request: Any) -> None:
        """A request goes on elsewhere: what became of it is not known here."""
        self._open.pop(request, None)
        self._streams.pop(request, None)

    async def measure(self, limits: Mapping[str, tuple[int, int]], pause: Callable[[], Any]) -> dict[str, RouteMeasure]:
        """
        Everything since the canary began.

        :param limits: by route the last buckets that are not slow, for ``slow`` and for ``tail``
        :param pause: awaited between slices, so that the reactor never stops for long
        """
        waiting = await self._look_at_open(pause)
        measured: dict[str, RouteMeasure] = {}
        left = MAX_ENTRIES_A_SLICE
        for route, sides in list(self._routes.items()):
            slow, tail = limits.get(route, (NEVER, NEVER))
            told: list[Side] = []
            for side, ages in zip(sides, waiting.get(route, ({}, {})), strict=True):
                told.append(_told(side, ages))
                connections = list(side.connections.items())
                for start in range(0, len(connections), MAX_ENTRIES_A_SLICE):
                    piece = connections[start : start + MAX_ENTRIES_A_SLICE]
                    _look_at(piece, told[-1], ages, slow, tail)
                    left -= len(piece)
                    if left <= 0:
                        left = MAX_ENTRIES_A_SLICE
                        await pause()
            measured[route] = RouteMeasure(*told)
        return measured

    async def _look_at_open(self, pause: Callable[[], Any]) -> dict[str, tuple[dict[float, int], dict[float, int]]]:
        """Count streams that have begun; gives how long others wait by now: route -> by side lot -> bucket."""
        waiting: dict[str, tuple[dict[float, int], dict[float, int]]] = {}
        for place, (request, begun) in enumerate(list(self._open.items()), 1):
            if place % MAX_ENTRIES_A_SLICE == 0:
                await pause()
            if request not in self._open:
                continue  # it has ended meanwhile
            if request.started:
                del self._open[request]
                self._streams[request] = begun
                for side in self._sides(request, begun):
                    _count(self._connection(side, begun), side, request.status, NEVER, False)
                begun.counted = True
            elif begun.is_compared and request.unread_body is None:
                for side in self._sides(request, begun):
                    self._connection(side, begun)
                ages = waiting.setdefault(route_of(request), ({}, {}))[0 if begun.is_new else 1]
                ages[begun.lot] = max(ages.get(begun.lot, 0), bucket_of(self._now() - request.began))
        return waiting

    def _sides(self, request: Any, begun: Open) -> tuple[OneSide, OneSide]:
        """Where it counts: on its route, and in its face's sum."""
        place = 0 if begun.is_new else 1
        return self._route(route_of(request))[place], self._route(f"{request.face} *")[place]

    def _route(self, route: str) -> tuple[OneSide, OneSide]:
        sides = self._routes.get(route)
        if sides is None:
            if len(self._routes) >= MAX_ROUTES:
                route = "other routes *"
            sides = self._routes.setdefault(route, (OneSide(), OneSide()))
        return sides

    def _connection(self, side: OneSide, begun: Open) -> OneConnection | None:
        if not begun.is_compared:
            return None
        known = side.connections.get(begun.lot)
        if known is None and self._entries < MAX_CONNECTIONS:
            self._entries += 1
            known = side.connections[begun.lot] = OneConnection()
        return known


def route_of(request: Any) -> str:
    """A request's route with method and face, out of a small set."""
    return f"{request.face} {known_method(request.method)} {request.route}"


def _count(connection: OneConnection | None, side: OneSide, status: int, bucket: int, again: bool) -> None:
    is_error = status >= 500 or status == BROKEN
    is_refusal = 400 <= status < 500 and status != CLIENT_LEFT and not again
    if not again:
        side.requests += 1
    if is_error:
        side.failures[status] = side.failures.get(status, 0) + 1
    elif is_refusal:
        side.refusals[status] = side.refusals.get(status, 0) + 1
    if bucket != NEVER:
        side.latency[bucket] = side.latency.get(bucket, 0) + 1
    if connection is None:
        return
    if not again:
        connection.requests += 1
    connection.errors += is_error
    connection.refused += is_refusal
    if bucket != NEVER and len(connection.latency) < MAX_TIMED:
        connection.latency.append(bucket)


def _told(side: OneSide, waiting: Mapping[float, int]) -> Side:
    """What is counted by request."""
    told = Side(
        requests=side.requests,
        failures=dict(side.failures),
        refusals=dict(side.refusals),
        latency=dict(side.latency),
        connections=len(side.connections),
    )
    for age in waiting.values():
        told.latency[age] = told.latency.get(age, 0) + 1
    return told


def _look_at(
    connections: list[tuple[float, OneConnection]], told: Side, waiting: Mapping[float, int], slow: int, tail: int
) -> None:
    """What is counted by connection."""
    up_to_slow, up_to_tail = _UP_TO[slow], _UP_TO[tail]
    for lot, one in connections:
        told.failing += one.errors > 0
        told.refused += 2 * one.refused > one.requests
        timed = one.latency
        age = waiting.get(lot)
        if age is not None:
            timed = timed + bytes((age,))
        if timed:
            told.slow += 2 * len(timed.translate(None, up_to_slow)) > len(timed)
            told.tail += len(timed.translate(None, up_to_tail)) > 0
