"""Canaries without a daemon: clients that differ, on connections with lots, in a worker's ``Trial``; all by a seed."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

from attrs import define, field, frozen
from twisted.internet.defer import Deferred, succeed

from cloudd.daemon._comparison import Finding, RouteMeasure, judge, limits_of, requests_in
from cloudd.daemon._trial import Trial
from cloudd.protocols.http._lots import Lots

LOOKS = 20


@define(eq=False)
class AskedRequest:
    """As much of a request as a trial looks at."""

    lot: float = 0.0
    route: str = "things"
    status: int = 200
    method: bytes = b"GET"
    face: str = "api"
    received_bytes: int = 0
    sent_bytes: int = 100
    began: float = 0.0
    broken: bool = False
    started: bool = False
    unread_body: Any = None


@frozen
class Client:
    """One connection: its lot, and how its client is: ``quirk`` from 0 to below 1."""

    lot: float
    quirk: float


@frozen
class Running:
    """The generation that is tried."""

    number: int


#: (chance, route, whether the new code answers, the client) -> status and seconds
Behaviour = Callable[[Random, int, bool, Client], tuple[int, float]]


@define
class SimulatedCanary:
    """
    :param behaviour: what comes of a request
    :param requests: in all, between two looks
    """

    seed: int
    behaviour: Behaviour
    share: float = 0.05
    connections: int = 200
    routes: int = 20
    requests: int = 200
    total: dict[str, RouteMeasure] = field(factory=dict)

    def play(self) -> Finding | None:
        """What is found until the end of the period, if anything."""
        chance = Random(self.seed)
        lots = Lots(chance)
        clients = [Client(lots.draw(), chance.random()) for _ in range(self.connections)]
        running: Any = Running(self.seed)
        trial = Trial(running, self.share, lambda: 0.0)
        for _ in range(LOOKS):
            for _ in range(self.requests):
                self._ask(trial, chance, chance.choice(clients))
            self.total = measured(trial, limits_of(self.total))
            found = judge(self.total, LOOKS)
            if found is not None:
                return found
        return None

    def _ask(self, trial: Trial, chance: Random, client: Client) -> None:
        route = int(self.routes * chance.random() ** 2)  # some are asked for more than others
        request = AskedRequest(client.lot, f"route-{route}")
        is_new = trial.begins(request)
        request.status, seconds = self.behaviour(chance, route, is_new, client)
        trial.ended(request, seconds)

    @property
    def new_requests(self) -> int:
        """How many requests the new code has answered."""
        return requests_in(self.total)


def measured(trial: Trial, limits: dict[str, tuple[int, int]]) -> dict[str, RouteMeasure]:
    """What a worker tells."""
    found: list[dict[str, RouteMeasure]] = []
    Deferred.fromCoroutine(trial.measure(limits, lambda: succeed(None))).addCallback(found.append)
    return found[0]


def noisy(chance: Random) -> float:
    """Seconds of a request on a busy machine: a few ms, and now and then much more."""
    return chance.lognormvariate(-5.5, 0.6) + (chance.expovariate(5) if chance.random() < 0.02 else 0.0)


def equal(chance: Random, _route: int, _is_new: bool, _client: Client) -> tuple[int, float]:
    """Both codes do alike, and have some errors and refusals."""
    return (500 if chance.random() < 0.01 else 404 if chance.random() < 0.1 else 200), noisy(chance)


def different_clients(chance: Random, route: int, _is_new: bool, client: Client) -> tuple[int, float]:
    """Both codes do alike; one client in 20 has a bad password, one in 20 asks for what takes long."""
    status = 401 if client.quirk < 0.05 else 404 if client.quirk < 0.2 and chance.random() < 0.5 else 200
    return status, noisy(chance) * (50 if client.quirk > 0.95 and route < 3 else 1)
