# -*- test-case-name: tests.daemon.test_tls_front -*-
"""
The anchor's side of TLS: it keeps a front running, or several, gives it sockets and channels, and replaces it.

The anchor binds the TLS ports and makes a channel for each; the front gets the listening sockets and its ends of the
channels, the workers get the others in the place of listening sockets.  A front outlives its anchor: the next one
finds it by its control socket, gets the listening sockets back from it, and brings new channels.  Without an ``ssl:``
endpoint there is no front.
"""

from __future__ import annotations

import hashlib
import signal
import socket
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

from attrs import define
from twisted.internet.defer import Deferred, DeferredList
from twisted.logger import Logger

from cloudd.tls_front import FRONT_FILES, CertificateError, CertificateFiles, CertificateStore
from reload import CodeTree

from ._listening import ListenError, parse_endpoint
from ._slot import STEADY_S, restart_delay_s
from ._tls_front_link import CALL_TIMEOUT_S, FrontLink, FrontLost, find_fronts, start_front
from ._tls_health import tls_metrics, tls_part

ASK_TIMEOUT_S = 1.5
REPLACE_TIMEOUT_S = 20.0
KILL_DELAY_S = 3.0


class FrontFailed(Exception):
    """A new front could not take over; the one that runs goes on.  The text has the cause."""


def front_code(tree: CodeTree) -> str:
    """What tells whether two trees have the same front: a hash of its files, 64 hex digits."""
    lines = [f"{name} {content}\n" for name, content in tree.files.items() if name.startswith(FRONT_FILES)]
    return hashlib.sha256("".join(lines).encode()).hexdigest()


@define(eq=False)
class _Seat:
    """
    A place for a front that accepts: who has it, or why nobody has.

    :ivar failures: crashes in a row
    """

    current: FrontLink | None = None
    cause: str = "is starting"
    failures: int = 0
    started_at: float = 0.0
    has_served: bool = False


class TLSFront:
    """
    The front of one host, of one or more equal processes, and those that it has replaced.

    :param run: folder of the control sockets
    :param endpoints: face -> endpoint string
    :param processes: how many accept
    :ivar held: listening sockets of the front that was found; for ``bind_all``
    :ivar restarts: how often one was started again after a crash
    """

    log = Logger()

    def __init__(self, reactor: Any, run: Path, endpoints: Mapping[str, str], processes: int = 1) -> None:
        self._reactor = reactor
        self._run = run
        self._endpoints = {face: text for face, text in endpoints.items() if text}
        self._files = {
            face: endpoint.tls
            for face, text in self._endpoints.items()
            if (endpoint := parse_endpoint(face, text)).tls is not None
        }
        self._listeners: dict[str, socket.socket] = {}
        self._channels: dict[str, socket.socket] = {}  # the front's ends
        self._seats = [_Seat() for _ in range(processes if self._files else 0)]
        self._old: list[FrontLink] = []
        self._stop_timeout_s = self._longest_wait_s = 30.0
        self._stopping = False
        self._tree: CodeTree | None = None
        self._code = ""
        self.restarts = 0
        self.held: list[socket.socket] = []
        self._found: list[FrontLink] = []
        self._all_serve: Deferred[None] = Deferred()
        self._inherited: dict[str, tuple[socket.socket, socket.socket]] = {}

    def find(self, inherited: Mapping[str, Sequence[int]] = MappingProxyType({})) -> None:
        """
        Look for fronts of an earlier anchor.  Blocks: before the reactor runs.

        :param inherited: what ``leave`` gave in the process that this one was
        """
        self._inherited = {
            face: (socket.socket(fileno=listener), socket.socket(fileno=channel))
            for face, (listener, channel) in inherited.items()
        }
        found = find_fronts(self._run, lambda text: self.log.error("{text}", text=text))
        self._found = [link for link in found if not link.is_draining]
        self._old = [link for link in found if link.is_draining]
        pairs = [pair for held in (self._inherited, *(link.held for link in self._found)) for pair in held.values()]
        self.held = [listener for listener, _channel in pairs]

    def leave(self) -> dict[str, list[int]]:
        """For the next self of this process: descriptors of listening socket and channel by face."""
        return {face: [self._listeners[face].fileno(), self._channels[face].fileno()] for face in self._listeners}

    @property
    def faces(self) -> Mapping[str, CertificateFiles]:
        """The faces that speak TLS."""
        return self._files

    def may_keep(self, face: str, listener: socket.socket) -> bool:
        """Whether workers of an earlier anchor listen for this face on what is a listening socket, as it wants one."""
        return face not in self._files and listener.type != socket.SOCK_SEQPACKET

    def take(
        self, bound: Mapping[str, socket.socket], workers: Mapping[str, socket.socket]
    ) -> dict[str, socket.socket]:
        """
        Take the listening sockets of the faces with TLS.

        :param bound: face -> listening socket; ours on return
        :param workers: what workers of an earlier anchor accept on, their ends of channels among it
        :return: the same as ``bound`` with the workers' ends of channels in their place
        :raises ListenError: a certificate cannot be used
        """
        self.check()
        given = dict(bound)
        # All fronts of one host have the same channels.
        known = [*(link.held for link in self._found), self._inherited]
        channels = {face: channel for held in known for face, (_listener, channel) in held.items()}
        for face in self._files:
            self._listeners[face] = bound[face]
            if face in channels and face in workers:
                self._channels[face], given[face] = channels[face].dup(), workers[face]
            else:
                self._channels[face], given[face] = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            given[face].setblocking(False)
        for link in self._found:
            for listener, channel in link.held.values():
                listener.close()
                channel.close()
        self.held = []
        return given

    def check(self) -> None:
        """
        Whether all certificates can be used.

        :raises ListenError: one cannot
        """
        for face, files in self._files.items():
            try:
                CertificateStore(files).load()
            except CertificateError as error:
                raise ListenError(face, self._endpoints[face], str(error)) from None

    # ---- the process

    def start(
        self,
        tree: CodeTree,
        stop_timeout_s: float,
        longest_wait_s: float,
        output: int | None,
        environment: Mapping[str, str],
    ) -> None:
        """
        Let fronts serve: those that were found, and new ones.

        :param tree: the staged copy that it runs from
        :param stop_timeout_s: how long connections may go on after a SIGTERM at the front itself
        :param longest_wait_s: how long a replaced front may keep its connections
        :param output: descriptor for what it says; None: ours
        """
        for listener, channel in self._inherited.values():  # not before: the start may have led back to our former self
            listener.close()
            channel.close()
        self._tree, self._code = tree, front_code(tree)
        self._longest_wait_s = longest_wait_s
        self._stop_timeout_s, self._output, self._environment = stop_timeout_s, output, environment
        for link in self._found + self._old:
            link.watch(self._reactor)
        for link in self._old:
            self._watch_old(link)
        found, self._found = self._found, []
        kept = [link for link in found if link.speaks][: len(self._seats)]
        for link in [link for link in found if link not in kept]:
            self._retire(link, longest_wait_s if self._files else 0.0)
        for seat, keep in zip(self._seats, kept, strict=False):
            self.log.info("the TLS front {pid} was found", pid=keep.pid)
            self._use(seat, keep)
        for seat in self._seats[len(kept) :]:
            self._start_again(seat)
        if any(link.code != self._code for link in kept):
            self._in_background(self.replace(tree), "the TLS front could not be replaced")

    def _start_again(self, seat: _Seat) -> None:
        if self._stopping or self._tree is None or seat.current is not None:
            return
        try:
            link = start_front(self._tree.root, self._code, self._run, self._output, self._environment)
        except OSError as error:
            self._lost(seat, f"cannot be started: {error}")
            return
        link.watch(self._reactor)
        self._use(seat, link)

    def _use(self, seat: _Seat, link: FrontLink) -> None:
        self._rely_on(seat, link)
        self._in_background(self._serve_or_leave(seat, link), "the TLS front does not serve")

    async def _serve_or_leave(self, seat: _Seat, link: FrontLink) -> None:
        try:
            await self._let_serve(link)
            self._served(seat)
        except FrontLost:
            if seat.current is link and not link.is_over:
                # It may be stuck, or of a version that we do not understand: what it has stays with it.
                self._retire(link, self._longest_wait_s)
                self._lost(seat, "does not serve")
            raise

    def _rely_on(self, seat: _Seat, link: FrontLink) -> None:
        def ended(cause: str) -> None:
            if seat.current is link:
                self._lost(seat, cause)

        seat.current, seat.started_at = link, self._reactor.seconds()
        link.when_ended(ended)

    def _served(self, seat: _Seat) -> None:
        seat.has_served = True
        if all(each.has_served for each in self._seats) and not self._all_serve.called:
            self._all_serve.callback(None)

    async def ready(self, within_s: float) -> None:
        """Wait until all fronts serve, or have not done so in time: then ``health`` says why."""
        if self._seats and not self._all_serve.called:
            timer = self._reactor.callLater(within_s, self._all_serve.callback, None)
            await self._all_serve
            if timer.active():
                timer.cancel()

    async def _let_serve(self, link: FrontLink, within_s: float = CALL_TIMEOUT_S) -> None:
        descriptors: list[int] = []
        for face in self._files:
            descriptors += [self._listeners[face].fileno(), self._channels[face].fileno()]
        answer = await link.call(
            "serve",
            tuple(descriptors),
            within_s=within_s,
            faces=[{"name": face, **files._asdict()} for face, files in self._files.items()],
            stop_timeout_s=self._stop_timeout_s,
        )
        for problem in answer["problems"]:
            self.log.error("TLS: {problem}", problem=problem)

    def _lost(self, seat: _Seat, cause: str) -> None:
        seat.current, seat.cause = None, cause
        if self._stopping:
            return
        if self._reactor.seconds() - seat.started_at > STEADY_S:
            seat.failures = 0
        seat.failures += 1
        self.restarts += 1
        delay_s = restart_delay_s(seat.failures)
        self.log.error("the TLS front {cause}; the next one in {delay_s} s", cause=cause, delay_s=delay_s)
        self._reactor.callLater(delay_s, self._start_again, seat)

    async def replace(self, tree: CodeTree) -> None:
        """
        Let fronts of other code accept from now on; those before keep their connections until they end.

        Nothing is done when all have that code already, or there is none.

        :param tree: a staged copy, which must stay
        :raises FrontFailed: the new ones cannot do it; the old ones go on
        """
        code = front_code(tree)
        if not self._files or self._stopping:
            return
        if all(link.code == code for link in self._serving) and (self._serving or code == self._code):
            self._tree, self._code = tree, code
            return
        fresh: list[FrontLink] = []
        try:
            for _ in self._seats:
                link = start_front(tree.root, code, self._run, self._output, self._environment)
                fresh.append(link)
                link.watch(self._reactor)
                await self._let_serve(link, REPLACE_TIMEOUT_S)
            if self._stopping:
                raise FrontLost("the daemon is stopping")
        except (OSError, FrontLost) as error:
            for link in fresh:
                link.signal(signal.SIGKILL)
            raise FrontFailed(f"a new TLS front does not serve: {error}") from error
        self._tree, self._code = tree, code
        for seat, link in zip(self._seats, fresh, strict=True):
            old = seat.current
            self._rely_on(seat, link)
            if old is not None:
                self._retire(old, self._longest_wait_s)

    @property
    def _serving(self) -> list[FrontLink]:
        """Those that accept."""
        return [seat.current for seat in self._seats if seat.current is not None]

    def plan(self, tree: CodeTree) -> list[str]:
        """What an upgrade to this tree means for connections, if anything."""
        if not self._files or front_code(tree) == self._code:
            return []
        return [
            "connections over TLS: the code of the TLS front changes; a new front takes those that come, "
            "the old one keeps its own until they end, or [upgrade] longest_wait_s is over"
        ]

    async def follow(self, tree: CodeTree) -> list[str]:
        """
        This code runs now: replace the front if it has another one.

        :param tree: the staged copy
        :return: a warning, when that cannot be done
        """
        try:
            await self.replace(tree)
        except FrontFailed as error:
            return [f"{error}: the front of before goes on"]
        return []

    def hashes_in_use(self) -> set[str]:
        """The copy from which the front is started again when it crashes."""
        return {self._tree.hash} if self._tree is not None and self._files else set()

    def _retire(self, link: FrontLink, longest_s: float) -> None:
        self._old.append(link)
        self._watch_old(link)
        self._in_background(link.call("stop", timeout_s=longest_s), "an old TLS front")

    def _watch_old(self, link: FrontLink) -> None:
        link.when_ended(lambda _cause: self._old.remove(link))

    def _in_background(self, coroutine: Any, what: str) -> None:
        def failed(failure: Any) -> None:
            if failure.check(FrontLost, FrontFailed):
                self.log.error("{what}: {cause}", what=what, cause=failure.getErrorMessage())
            else:
                self.log.failure("{what}", failure, what=what)

        Deferred.fromCoroutine(coroutine).addErrback(failed)

    # ---- what is asked of it

    def reload(self) -> None:
        """Read the certificates again now."""
        for link in self._serving:
            self._in_background(self._reload(link), "the certificates could not be read again")

    async def _reload(self, link: FrontLink) -> None:
        for problem in (await link.call("reload"))["problems"]:
            self.log.error("TLS: {problem}", problem=problem)

    async def status(self) -> list[dict[str, Any]]:
        """What fronts say of themselves, those that accept first; who does not answer is left out."""
        links = [*self._serving, *self._old]
        asked = [Deferred.fromCoroutine(link.call("status", within_s=ASK_TIMEOUT_S)) for link in links]
        return [answer for success, answer in await DeferredList(asked, consumeErrors=True) if success]

    async def health(self) -> dict[str, dict[str, str]]:
        """The part ``tls`` of ``/health``; nothing when no face speaks TLS."""
        if not self._files:
            return {}
        asked = DeferredList([Deferred.fromCoroutine(self._ask(seat)) for seat in self._seats])
        answers = [answer for _success, answer in await asked]
        silence = next((answer for answer in answers if isinstance(answer, str)), "")
        told = None if silence else answers[0]
        return {"tls": tls_part(told, silence, list(self._files), time.time())}

    async def _ask(self, seat: _Seat) -> Any:
        """What a front says of itself, or why it says nothing."""
        if seat.current is None:
            return seat.cause
        try:
            return await seat.current.call("status", within_s=ASK_TIMEOUT_S)
        except FrontLost as error:
            return f"gave no answer: {error}"

    async def metrics(self) -> list[dict[str, Any]]:
        """Families as ``merge_metrics`` takes them."""
        return tls_metrics(await self.status(), self.restarts) if self._files else []

    # ---- the end

    async def stop(self, timeout_s: float) -> None:
        """Accept no more at once; fires when all fronts have ended, after ``timeout_s`` and some at the latest."""
        self._stopping = True
        for link in (*self._found, *self._old):
            link.watch(self._reactor)  # where the start was not reached
        links = [*self._serving, *self._old, *self._found]
        for listener in (*self._listeners.values(), *self._channels.values(), *self.held):
            listener.close()
        running = [link for link in links if not link.is_over]
        for link in running:
            self._in_background(link.call("stop", timeout_s=timeout_s), "the TLS front")
        if not running:
            return
        killer = self._reactor.callLater(timeout_s + KILL_DELAY_S, self._kill, running)
        await DeferredList([_ended(link) for link in running])
        if killer.active():
            killer.cancel()

    def hasten(self) -> None:
        """Cut what is left."""
        for link in [*self._serving, *self._old]:
            self._in_background(link.call("stop", timeout_s=0.0), "the TLS front")

    def _kill(self, links: list[FrontLink]) -> None:
        for link in links:
            if not link.is_over:
                self.log.error("killing the TLS front {pid}: it does not end", pid=link.pid)
                link.signal(signal.SIGKILL)


def _ended(link: FrontLink) -> Deferred[str]:
    ended: Deferred[str] = Deferred()
    link.when_ended(ended.callback)
    return ended
