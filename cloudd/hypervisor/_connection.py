# -*- test-case-name: tests.hypervisor.test_connection -*-
"""
The connection to libvirtd, which is made again for as long as it is wanted.

Calls run in threads, since libvirt's block: a start takes half a second, a save two.  What happens to domains comes by
the reactor (``_events``).  Whoever observes is told of each change, and of each new connection, after which anything
may be different.

A libvirtd may hang.  Nothing here waits for it without end: it is asked before libvirt's own connection is made, which
would, and one that has been silent for ``patience_s`` is taken for dead, so that calls under way fail.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from traceback import clear_frames
from typing import Any, Concatenate, Final, ParamSpec, TypeVar

import libvirt
from attrs import define, frozen
from twisted.internet.defer import Deferred, DeferredList
from twisted.logger import Logger
from twisted.python.failure import Failure

from cloudd.interfaces.application import Threads
from cloudd.interfaces.servers import HostAway

from ._events import events_on
from ._patience import at_most
from ._place import logs_of, silence_of

Result = TypeVar("Result")
Arguments = ParamSpec("Arguments")

FIRST_RETRY_S: Final = 0.2
LAST_RETRY_S: Final = 5.0
PATIENCE_S: Final = 15.0
KEEPALIVE_COUNT: Final = 2  # so many questions without an answer, then as long again


class HypervisorAway(HostAway):
    """libvirtd cannot be reached now; guests are untouched.  It is asked again by itself."""


@frozen
class DomainChange:
    """
    Something has happened to a domain.

    :ivar event: ``VIR_DOMAIN_EVENT_*``
    :ivar detail: its ``VIR_DOMAIN_EVENT_*_*``
    """

    uuid: str
    name: str
    event: int
    detail: int


@define(eq=False)
class Watch:
    """Somebody who observes, until ``end``."""

    changed: Callable[[DomainChange], None]
    connected: Callable[[], None]
    _watches: list[Watch]

    def end(self) -> None:
        """Tell nothing more, and forget both functions.  Twice is no error."""
        if self in self._watches:
            self._watches.remove(self)


@frozen
class _Link:
    """
    :ivar events: what libvirt calls the registration for changes; while it stands libvirt keeps the connection
    """

    connection: Any
    events: int


class Hypervisor:
    """
    :param uri: of libvirt
    :param threads: a pool of its own: calls to a libvirtd that hangs fill it
    :param patience_s: how long a libvirtd may say nothing before it is taken for dead
    """

    _log = Logger()

    def __init__(self, reactor: Any, uri: str, threads: Threads, patience_s: float = PATIENCE_S) -> None:
        self.uri = uri
        self._patience_s = patience_s
        self._reactor = reactor
        self._threads = threads
        self._link: _Link | None = None
        self._cause = "the connection has not been made yet"
        self._wanted = False
        self._attempt: Deferred[None] | None = None
        self._retry: Any = None
        self._retry_s = FIRST_RETRY_S
        self._watches: list[Watch] = []
        self._running: set[Deferred[Any]] = set()

    def start(self) -> Deferred[None]:
        """
        Connect, now and whenever the connection has been lost.

        Fires when it has been tried once, or libvirtd has said nothing for a while; ``away`` says how that went.
        Started already, it changes nothing.
        """
        if not self._wanted:
            events_on(self._reactor)
            self._wanted = True
            if self._attempt is None or self._attempt.called:
                self._connect()
        assert self._attempt is not None
        return self._not_for_ever(self._attempt)

    def stop(self) -> Deferred[None]:
        """
        Wait for the calls that run and disconnect.  It may be started again.

        Where libvirtd hangs it fires after a while, and calls end by themselves.
        """
        self._wanted = False
        if self._retry is not None:
            self._retry.cancel()
            self._retry = None
        link, self._link = self._link, None
        self._cause = "the connection has been ended"
        return self._not_for_ever(Deferred.fromCoroutine(self._disconnect(link)))

    @property
    def away(self) -> str:
        """Why there is no connection, in words; empty: there is one."""
        return "" if self._link is not None else self._cause

    @property
    def guest_logs(self) -> Path | None:
        """The folder of QEMU's logs, which need not be there; ``None``: it is not known."""
        return logs_of(self.uri)

    def observe(self, changed: Callable[[DomainChange], None], connected: Callable[[], None]) -> Watch:
        """Call these in the reactor thread; ``connected`` also at once where there is a connection already."""
        watch = Watch(changed, connected, self._watches)
        self._watches.append(watch)
        if self._link is not None:
            self._tell(connected)
        return watch

    def call(
        self,
        function: Callable[Concatenate[Any, Arguments], Result],
        /,
        *args: Arguments.args,
        **kwargs: Arguments.kwargs,
    ) -> Deferred[Result]:
        """
        Call ``function(connection, …)`` in a thread.

        Fails with ``HypervisorAway`` where there is no connection, or none any more, and with what it raised.
        """
        link = self._link
        if link is None:
            return _failed(self._away_now())
        done: Deferred[Result] = self._threads.run(_without_locals, function, link.connection, *args, **kwargs)
        return self._counted(done.addErrback(self._judge, link))

    # Connecting

    def _connect(self) -> None:
        self._retry = None
        self._attempt = Deferred.fromCoroutine(self._try_once())

    async def _try_once(self) -> None:
        try:
            link = await self._threads.run(_open, self.uri, self._patience_s, self._on_close, self._on_event)
        except HypervisorAway as error:
            self._cause = error.cause
            self._try_later()
            return
        except libvirt.libvirtError as error:
            self._cause = str(error)
            self._try_later()
            return
        except Exception:
            self._log.failure("libvirt at {uri} could not be asked", uri=self.uri)
            self._cause = "an unexpected error, which the log has"
            self._try_later()
            return
        if not self._wanted:
            await self._threads.run(_close, link)
            return
        self._link = link
        self._retry_s = FIRST_RETRY_S
        self._log.info("connected to libvirt at {uri}", uri=self.uri)
        for watch in tuple(self._watches):
            self._tell(watch.connected)
        if not _alive(link.connection):  # it broke before it was known here, which nobody would tell again
            self._lost(link.connection, "the connection broke at once")

    def _try_later(self) -> None:
        if self._wanted:
            self._retry = self._reactor.callLater(self._retry_s, self._connect)
            self._retry_s = min(self._retry_s * 2, LAST_RETRY_S)

    def _lost(self, connection: Any, cause: str) -> None:
        link = self._link
        if link is None or link.connection is not connection:
            return
        self._link = None
        self._cause = cause
        self._log.warn("libvirt at {uri} is gone: {cause}", uri=self.uri, cause=cause)
        self._counted(self._threads.run(_close, link))
        self._try_later()

    async def _disconnect(self, link: _Link | None) -> None:
        if self._attempt is not None:
            await _follow(self._attempt)
        while self._running:
            await DeferredList([_follow(each) for each in self._running], consumeErrors=True)
        if link is not None:
            await self._threads.run(_close, link)

    def _not_for_ever(self, done: Deferred[None]) -> Deferred[None]:
        """A libvirtd is asked, twice, and then taken for dead."""
        over: Deferred[None] = at_most(self._reactor, self._patience_s * 3, done).addCallback(lambda _: None)
        return over

    # What libvirt calls; a close may come from any thread

    def _on_close(self, connection: Any, reason: int, _opaque: Any) -> None:
        self._reactor.callFromThread(self._lost, connection, _CLOSE_REASONS.get(reason, f"reason {reason}"))

    def _on_event(self, _connection: Any, domain: Any, event: int, detail: int, _opaque: Any) -> None:
        change = DomainChange(domain.UUIDString(), domain.name(), event, detail)
        for watch in tuple(self._watches):
            self._tell(watch.changed, change)

    # Small parts

    def _tell(self, function: Callable[..., None], *facts: DomainChange) -> None:
        try:
            function(*facts)
        except Exception:  # one observer's error is not another one's
            self._log.failure("an observer of libvirt failed")

    def _judge(self, failure: Failure, link: _Link) -> Failure:
        error = failure.value
        if isinstance(error, libvirt.libvirtError) and not _alive(link.connection):
            self._lost(link.connection, str(error))
            return Failure(self._away_now())
        return failure

    def _away_now(self) -> HypervisorAway:
        return HypervisorAway(
            f"libvirt at {self.uri} cannot be reached ({self._cause}); it is asked again by itself",
            "Look whether libvirtd runs: script/libvirt status FOLDER",
        )

    def _counted(self, done: Deferred[Result]) -> Deferred[Result]:
        self._running.add(done)

        def over(result: Any) -> Any:
            self._running.discard(done)
            return result

        return done.addBoth(over)


_CLOSE_REASONS: Final = {
    libvirt.VIR_CONNECT_CLOSE_REASON_ERROR: "the connection broke",
    libvirt.VIR_CONNECT_CLOSE_REASON_EOF: "libvirtd has ended",
    libvirt.VIR_CONNECT_CLOSE_REASON_KEEPALIVE: "libvirtd has not answered for a while",
    libvirt.VIR_CONNECT_CLOSE_REASON_CLIENT: "the connection was closed here",
}


def _open(uri: str, patience_s: float, on_close: Callable[..., None], on_event: Callable[..., None]) -> _Link:
    """
    :raises HypervisorAway: libvirtd says nothing
    """
    silence = silence_of(uri, patience_s)
    if silence:
        raise HypervisorAway(silence, "Look at libvirtd")
    connection = libvirt.open(uri)
    events = -1
    try:
        _if_supported(connection.registerCloseCallback, on_close, None)
        _if_supported(connection.setKeepAlive, max(1, round(patience_s / (KEEPALIVE_COUNT + 1))), KEEPALIVE_COUNT)
        events = connection.domainEventRegisterAny(None, libvirt.VIR_DOMAIN_EVENT_ID_LIFECYCLE, on_event, None)
    except libvirt.libvirtError:
        _close(_Link(connection, events))
        raise
    return _Link(connection, events)


def _without_locals(
    function: Callable[Concatenate[Any, Arguments], Result],
    connection: Any,
    /,
    *args: Arguments.args,
    **kwargs: Arguments.kwargs,
) -> Result:
    """A domain in the frames of an error that somebody keeps would hold the connection open after its end."""
    try:
        return function(connection, *args, **kwargs)
    except Exception as error:
        clear_frames(error.__traceback__)
        raise


def _if_supported(function: Callable[..., Any], *args: Any) -> None:
    """A hypervisor inside of this process has no connection that could break."""
    try:
        function(*args)
    except libvirt.libvirtError as error:
        if error.get_error_code() != libvirt.VIR_ERR_NO_SUPPORT:
            raise


def _close(link: _Link) -> None:
    """Each of these may fail where libvirtd is gone, and has done its part here all the same."""
    connection = link.connection
    with suppress(libvirt.libvirtError):
        connection.unregisterCloseCallback()
    if link.events >= 0:
        with suppress(libvirt.libvirtError):
            connection.domainEventDeregisterAny(link.events)
    with suppress(libvirt.libvirtError):
        connection.close()


def _alive(connection: Any) -> bool:
    try:
        return bool(connection.isAlive())
    except libvirt.libvirtError:
        return False


def _failed(error: Exception) -> Deferred[Any]:
    failed: Deferred[Any] = Deferred()
    failed.errback(error)
    return failed


def _follow(done: Deferred[Any]) -> Deferred[None]:
    """Fires when ``done`` does, whose result goes on to whoever has it."""
    followed: Deferred[None] = Deferred()

    def pass_on(result: Any) -> Any:
        followed.callback(None)
        return result

    done.addBoth(pass_on)
    return followed
