# -*- test-case-name: tests.image.test_fetch -*-
"""
Downloading the data of an image by HTTP, as a stream into the object store.

A name is resolved once, what it means is checked, and the connection goes to an address that was checked: whoever
answers for the name cannot give another one in between.  Each redirect is looked at as if it had been asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final
from urllib.parse import urljoin

from attrs import define, field, frozen
from twisted.internet import error as connection_errors
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.defer import TimeoutError as DeferredTimeout
from twisted.internet.endpoints import TCP4ClientEndpoint, TCP6ClientEndpoint, wrapClientTLS
from twisted.internet.interfaces import IResolutionReceiver
from twisted.internet.protocol import Protocol
from twisted.internet.ssl import optionsForClientTLS
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.client import Agent, ResponseDone, ResponseFailed
from twisted.web.iweb import IAgentEndpointFactory
from zope.interface import implementer

from storage import IUpload

from ._errors import ImageError, OverQuota, SourceBroken, SourceRefused
from ._source import Place, Sources

CONNECT_S: Final = 15.0
ANSWER_S: Final = 60.0
IDLE_S: Final = 60.0
PACE_S: Final = 60.0  # over so long it is looked how fast data comes
LEAST_RATE: Final = 10_000  # bytes per second: what is slower would keep its place among the tasks for hours
MAX_REDIRECTS: Final = 5
REDIRECTS: Final = (301, 302, 303, 307, 308)
PASSING: Final = (408, 425, 429)  # besides all from 500 on: asking again may help


log = Logger()


@define(eq=False)
class Fetcher:
    """
    :param sources: from where data may be taken
    :param max_bytes: longest data that is taken
    :param trust: whose certificates are good, for ``optionsForClientTLS``; None: the system's
    """

    _reactor: Any
    _sources: Sources
    _max_bytes: int
    _trust: Any = None

    @property
    def sources(self) -> Sources:
        """From where data may be taken."""
        return self._sources

    async def fetch(self, url: str, upload: IUpload, room: int | None = None) -> None:
        """
        Give everything that is behind a URL to an upload, never faster than it takes it.

        Cancelling ends the download; what the upload has taken is for the caller to discard, as after an error.

        :param room: bytes that a quota leaves for it; None: there is none
        :raises SourceRefused: it is not taken from there, there is none, or it is too long
        :raises OverQuota: it is longer than the room
        :raises SourceBroken: it has broken off
        :raises StoreFull: of the upload
        """
        try:
            await self._follow(url, upload, self._limit(room))
        except (ImageError, CancelledError):
            raise
        except _BREAKS as error:
            raise SourceBroken(f"The download has broken off: {_words(error)}.") from None

    def _limit(self, room: int | None) -> _Limit:
        if room is not None and room < self._max_bytes:
            return _Limit(room, OverQuota.by_more_than(room))
        return _Limit(self._max_bytes, _too_long(self._max_bytes))

    async def _follow(self, url: str, upload: IUpload, limit: _Limit) -> None:
        for _ in range(MAX_REDIRECTS + 1):
            response = await self._ask(url)
            if response.code not in REDIRECTS:
                await self._take(response, upload, limit)
                return
            _hang_up(response)
            (target,) = response.headers.getRawHeaders("location", [""])[-1:]
            url = urljoin(url, target)
        raise SourceRefused(f"uri: it is redirected more than {MAX_REDIRECTS} times.")

    async def _ask(self, url: str) -> Any:
        from treq.client import HTTPClient  # late: nobody else needs it

        place = self._sources.place(url)
        addresses = await self._addresses_of(place)
        if not addresses:
            raise SourceBroken(f"The name {place.host} has no address.")
        trouble: Exception | None = None
        for address in addresses:
            there = _To(self._reactor, place, address, self._trust)
            client = HTTPClient(Agent.usingEndpointFactory(self._reactor, there))
            asking: Deferred[Any] = client.get(url, allow_redirects=False, unbuffered=True, reactor=self._reactor)
            try:
                return await asking.addTimeout(ANSWER_S, self._reactor)
            except connection_errors.ConnectError as error:
                trouble = error
        raise trouble or AssertionError("there was an address")

    async def _addresses_of(self, place: Place) -> Sequence[str]:
        """What a name means within the cloud is for operators alone."""
        found = await _resolved(self._reactor, place.host)
        try:
            return self._sources.checked(place, found)
        except SourceRefused:
            log.info("nothing is downloaded from {host}, which is at {addresses}", host=place.host, addresses=found)
            raise

    async def _take(self, response: Any, upload: IUpload, limit: _Limit) -> None:
        try:
            self._judge(response, limit)
        except ImageError:
            _hang_up(response)
            raise
        taking = _Taking(self._reactor, upload, limit)
        response.deliverBody(taking)
        await taking.done

    def _judge(self, response: Any, limit: _Limit) -> None:
        if response.code != 200:
            again = response.code >= 500 or response.code in PASSING
            raise (SourceBroken if again else SourceRefused)(f"uri: it is answered with status {response.code}.")
        length = response.length
        if isinstance(length, int) and length > limit.size:
            raise limit.error


@frozen
class _Limit:
    """The longest data that is taken, in bytes, and what is wrong with longer."""

    size: int
    error: ImageError


@implementer(IAgentEndpointFactory)
@frozen
class _To:
    """Connects to one address, whatever the URL says, as the host that it names."""

    _reactor: Any
    _place: Place
    _address: str
    _trust: Any

    def endpointForURI(self, _uri: Any) -> Any:
        kind = TCP6ClientEndpoint if ":" in self._address else TCP4ClientEndpoint
        endpoint = kind(self._reactor, self._address, self._place.port, CONNECT_S)
        if self._place.scheme == "http":
            return endpoint
        more = {} if self._trust is None else {"trustRoot": self._trust}
        return wrapClientTLS(optionsForClientTLS(self._place.host, **more), endpoint)


class _Taking(Protocol):
    """
    Takes the body of an answer; ``done`` fires when the upload has taken the last byte.

    After a pause what was parsed already may still come: it waits in ``_pieces``, at most what one read gives.
    """

    transport: Any

    def __init__(self, reactor: Any, upload: IUpload, limit: _Limit) -> None:
        self._reactor, self._upload, self._limit = reactor, upload, limit
        self._pieces: list[bytes] = []
        self._waiting, self._taken = False, 0
        self._end: Failure | None = None
        self._clock: Any = None
        self._pace: Any = None
        self._paced = 0  # bytes when the pace was looked at last
        self.done: Deferred[None] = Deferred(lambda _done: self._hang_up())

    def connectionMade(self) -> None:
        self._clock = self._reactor.callLater(IDLE_S, self._idle)
        self._pace = self._reactor.callLater(PACE_S, self._look_at_pace)

    def dataReceived(self, data: bytes) -> None:
        if self.done.called:
            return
        self._taken += len(data)
        if self._taken > self._limit.size:
            self._fail(Failure(self._limit.error))
            return
        self._pieces.append(data)
        self._feed()

    def connectionLost(self, reason: Failure = connection_errors.ConnectionDone) -> None:  # type: ignore[assignment]
        self._end = reason
        self._feed()

    def _feed(self) -> None:
        while self._pieces and not self._waiting and not self.done.called:
            self._clock.reset(IDLE_S)
            waiting = self._upload.write(self._pieces.pop(0))
            if waiting is not None and not (waiting.called and not waiting.paused):
                self._waiting = True
                self.transport.pauseProducing()
                waiting.addCallbacks(self._go_on, self._fail)
            elif waiting is not None:
                waiting.addErrback(self._fail)
        if self._end is not None and not self._pieces and not self._waiting:
            self._finish(self._end)

    def _go_on(self, _result: object) -> None:
        self._waiting = False
        if self._end is None and not self.done.called:
            self.transport.resumeProducing()
        self._feed()

    def _finish(self, reason: Failure) -> None:
        self._stop_clock()
        if self.done.called:
            return
        if reason.check(ResponseDone):
            self.done.callback(None)
        else:
            self.done.errback(Failure(SourceBroken("The download ended before its length, or without a declared one.")))

    def _idle(self) -> None:
        self._clock = None
        self._fail(Failure(SourceBroken(f"Nothing has come for {IDLE_S:g} s.")))

    def _look_at_pace(self) -> None:
        came, self._paced = self._taken - self._paced, self._taken
        if came < LEAST_RATE * PACE_S and not self._waiting:  # else it is the store that is slow
            self._fail(Failure(SourceBroken(f"It is too slow: less than {LEAST_RATE} bytes per second have come.")))
        else:
            self._pace = self._reactor.callLater(PACE_S, self._look_at_pace)

    def _fail(self, failure: Failure) -> None:
        self._hang_up()
        if not self.done.called:
            self.done.errback(failure)

    def _hang_up(self) -> None:
        self._stop_clock()
        self._pieces.clear()
        if self._end is None:
            self.transport.resumeProducing()
            self.transport.loseConnection()

    def _stop_clock(self) -> None:
        for timer in (self._clock, self._pace):
            if timer is not None and timer.active():
                timer.cancel()


class _HangUp(Protocol):
    """For an answer whose body nobody wants."""

    transport: Any

    def connectionMade(self) -> None:
        self.transport.loseConnection()


def _hang_up(response: Any) -> None:
    response.deliverBody(_HangUp())


@implementer(IResolutionReceiver)
@define(eq=False)
class _Resolving:
    _done: Deferred[list[str]] = field(factory=Deferred)
    _found: list[str] = field(factory=list)

    def resolutionBegan(self, resolutionInProgress: Any) -> None:
        pass

    def addressResolved(self, address: Any) -> None:
        if isinstance(address, IPv4Address | IPv6Address):
            self._found.append(address.host)

    def resolutionComplete(self) -> None:
        self._done.callback(self._found)


def _resolved(reactor: Any, host: str) -> Deferred[list[str]]:
    """All addresses of a name; an address is its own."""
    receiver = _Resolving()
    reactor.nameResolver.resolveHostName(receiver, host, 0)
    return receiver._done.addTimeout(CONNECT_S, reactor)


def _too_long(limit: int) -> SourceRefused:
    return SourceRefused(f"The data is longer than an image may be here: {limit} bytes.")


_BREAKS: tuple[type[Exception], ...] = (
    connection_errors.ConnectError,
    connection_errors.ConnectionClosed,
    DeferredTimeout,
    ResponseFailed,
)


def _words(error: Exception) -> str:
    reasons: Sequence[Failure] = getattr(error, "reasons", ())
    words: Callable[[object], str] = lambda found: str(found) or type(found).__name__  # noqa: E731
    return "; ".join(words(reason.value) for reason in reasons) or words(error)
